"""The command `mmc2fmae show-predictions`, for a checkout."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main(['show-predictions', *sys.argv[1:]], prog='tools/visualize_predictions.py'))
