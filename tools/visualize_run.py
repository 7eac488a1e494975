"""The command `mmc2fmae show-run`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['show-run', *sys.argv[1:]], prog='tools/visualize_run.py'))
