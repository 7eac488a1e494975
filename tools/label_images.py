"""The command `mmc2fmae label`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['label', *sys.argv[1:]], prog='tools/label_images.py'))
