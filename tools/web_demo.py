"""The command `mmc2fmae web`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['web', *sys.argv[1:]], prog='tools/web_demo.py'))
