"""The command `mmc2fmae robustness`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['robustness', *sys.argv[1:]], prog='tools/eval_robustness.py'))
