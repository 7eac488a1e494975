"""The command `mmc2fmae bundle`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['bundle', *sys.argv[1:]], prog='tools/bundle_dataset.py'))
