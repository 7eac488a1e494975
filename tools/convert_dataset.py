"""The command `mmc2fmae convert-data`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert-data', *sys.argv[1:]], prog='tools/convert_dataset.py'))
