"""mmc2fmae: C2FMAE, coarse-to-fine masked autoencoders, for OpenMMLab.

Importing the package registers its parts: `custom_imports = dict(imports=['mmc2fmae'])`.
"""

from mmc2fmae import compat  # first, before anything of mmpretrain: closes the gaps of the stack

__version__ = '0.1.0'


def register() -> None:
    """Import the modules that put their parts into OpenMMLab's registries."""
    from mmc2fmae import checkpoints, datasets, engine, models, preflight  # noqa: F401


if not compat.CHECK_ONLY:  # the check calls register() itself, to report what fails in it
    register()
