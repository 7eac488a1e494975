"""The command `mmc2fmae masks-to-coco`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['masks-to-coco', *sys.argv[1:]], prog='tools/masks_to_coco.py'))
