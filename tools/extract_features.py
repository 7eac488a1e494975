"""The command `mmc2fmae features`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['features', *sys.argv[1:]], prog='tools/extract_features.py'))
