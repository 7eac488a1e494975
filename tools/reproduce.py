"""The command `mmc2fmae reproduce`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['reproduce', *sys.argv[1:]], prog='tools/reproduce.py'))
