"""The command `mmc2fmae scenes`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['scenes', *sys.argv[1:]], prog='tools/make_scenes.py'))
