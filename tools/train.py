"""The command `mmc2fmae train`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]], prog='tools/train.py'))
