"""The command `mmc2fmae test`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]], prog='tools/test.py'))
