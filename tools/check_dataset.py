"""The command `mmc2fmae check`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['check', *sys.argv[1:]], prog='tools/check_dataset.py'))
