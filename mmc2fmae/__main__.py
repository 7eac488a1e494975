"""`python -m mmc2fmae`: the command `mmc2fmae`."""

import sys

from mmc2fmae.cli import main

if __name__ == '__main__':
    sys.exit(main())
