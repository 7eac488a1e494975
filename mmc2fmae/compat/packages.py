"""How mmengine and mmpretrain look for other packages, in the Pythons and setuptools of today."""

import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from typing import Any

from mmc2fmae.compat.gap import Gap

# --- mmpretrain's multimodal models ---


def keep_out_multimodal() -> Gap:
    """Keep mmpretrain from importing its multimodal models, which break on today's transformers."""
    from mmpretrain.utils import dependency

    name = 'multimodal models'
    if importlib.util.find_spec('transformers') is None:
        return Gap(name, 'ok', 'transformers is not installed, mmpretrain leaves them out')
    dependency.WITH_MULTIMODAL = False
    return Gap(name, 'filled in', 'transformers is installed, so mmpretrain leaves them out')


# --- pkg_resources, gone from setuptools 82 ---


def replace_pkg_resources() -> Gap:
    """Give mmengine, for configs like 'mmdet::_base_/...', a package search of today."""
    name = "configs named 'package::path'"
    if importlib.util.find_spec('pkg_resources'):
        return Gap(name, 'ok', 'pkg_resources is installed')
    import mmengine.utils.package_utils  # noqa: F401

    # mmengine's modules hold their own references to the two functions.
    for module in ('utils.package_utils', 'utils', 'config.config', 'hub.hub'):
        loaded: Any = sys.modules.get(f'mmengine.{module}')
        if loaded:
            loaded.get_installed_path = _installed_path
            loaded.is_installed = _is_installed
    return Gap(name, 'filled in', 'importlib.metadata in place of pkg_resources')


def _installed_path(package: str) -> str:
    # `package` is the name of a distribution (mmsegmentation) or of a module (mmseg).
    spec = importlib.util.find_spec(package)
    if spec is None:
        modules = importlib.metadata.distribution(package).read_text('top_level.txt')
        spec = importlib.util.find_spec((modules or package).split()[0])
    if spec is None or spec.origin is None:
        raise importlib.metadata.PackageNotFoundError(package)
    return os.path.dirname(spec.origin)


def _is_installed(package: str) -> bool:
    try:
        return bool(_installed_path(package))
    except importlib.metadata.PackageNotFoundError:
        return False


# --- pkgutil.find_loader, gone from Python 3.14 ---


def restore_find_loader() -> Gap:
    """Give back the function by which mmengine's Runner asks whether mmcv is compiled."""
    name = 'pkgutil.find_loader'
    if hasattr(pkgutil, 'find_loader'):
        return Gap(name, 'ok', 'this Python has it')
    setattr(pkgutil, 'find_loader', _find_loader)  # noqa: B010  (typeshed knows other Pythons)
    return Gap(name, 'filled in', 'importlib.util.find_spec in its place')


def _find_loader(name: str):
    spec = importlib.util.find_spec(name)
    return spec and spec.loader
