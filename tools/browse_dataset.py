"""The command `mmc2fmae browse`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['browse', *sys.argv[1:]], prog='tools/browse_dataset.py'))
