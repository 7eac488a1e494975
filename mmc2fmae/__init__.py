"""mmc2fmae: C2FMAE, coarse-to-fine masked autoencoders, for OpenMMLab.

Importing the package registers its parts: `custom_imports = dict(imports=['mmc2fmae'])`. In Python,
`mmc2fmae.train`, `mmc2fmae.embed` and `mmc2fmae.load_encoder` do the most common things.
"""

from mmc2fmae import compat  # first, before anything of mmpretrain: closes the gaps of the stack

__version__ = '0.1.0'

_API = ('embed', 'load_encoder', 'train')


def register() -> None:
    """Put the parts into OpenMMLab's registries, and let mmengine find the configs."""
    from mmc2fmae import checkpoints, configs, datasets, engine, models, preflight  # noqa: F401

    configs.serve()


def __getattr__(name: str) -> object:
    if name in _API:
        from mmc2fmae import api

        return getattr(api, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})


if not compat.COMMAND_LINE:
    register()
