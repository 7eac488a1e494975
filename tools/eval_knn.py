"""The command `mmc2fmae knn`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['knn', *sys.argv[1:]], prog='tools/eval_knn.py'))
