"""The command `mmc2fmae figures`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['figures', *sys.argv[1:]], prog='tools/figures.py'))
