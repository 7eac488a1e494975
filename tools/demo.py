"""The command `mmc2fmae demo`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['demo', *sys.argv[1:]], prog='tools/demo.py'))
