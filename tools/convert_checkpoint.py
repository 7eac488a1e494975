"""The command `mmc2fmae convert`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', *sys.argv[1:]], prog='tools/convert_checkpoint.py'))
