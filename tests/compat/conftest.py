"""How tests of the gaps start Python, and what fills them here."""

from mmc2fmae import compat

COMPILED = any(gap.detail == 'compiled mmcv' for gap in compat.gaps())
# Closes the gaps as the command does, without the registration of the package.
COMPAT_ALONE = (
    "import sys; sys.argv = ['mmc2fmae']; from mmc2fmae import compat; compat.close_gaps(); "
)
