"""The command `mmc2fmae pack`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['pack', *sys.argv[1:]], prog='tools/pack_labels.py'))
