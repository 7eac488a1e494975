"""Which fields of a config a page may name."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

import mmc2fmae
from tests.docs.pages import ROOT

mmc2fmae.register()


@cache
def read_config(path: str) -> Config:
    """Read a config of the checkout with everything that it inherits."""
    return Config.fromfile(ROOT / path)


@cache
def config_files() -> tuple[str, ...]:
    """Return the configs of the checkout that can be run."""
    return tuple(
        str(path.relative_to(ROOT))
        for path in sorted(Path(ROOT / 'configs').rglob('*.py'))
        if '_base_' not in path.parts
    )


def has_field(cfg: Config, field: str) -> bool:
    """Tell whether a config has a field, or whether what it builds takes that field.

    Args:
        cfg: The config with all that it inherits.
        field: Keys and positions joined by dots, such as ``custom_hooks.3.max_share``; or the type
            of a part and a field of it, such as ``ProgressiveMasking.num_visible``.
    """
    scope, keys = cfg.get('default_scope'), field.split('.')
    if keys[0][0].isupper():
        parts = _parts_of(cfg._cfg_dict, keys[0])
        return any(_has(part, keys[1:], scope, top=False) for part in parts)
    return _has(cfg._cfg_dict, keys, scope, top=True)


def _has(node: Any, keys: list[str], scope: str | None, top: bool) -> bool:
    for depth, key in enumerate(keys):
        inner = _step(node, key)
        if inner is None:
            last = depth == len(keys) - 1
            return last and _takes(node, key, scope, top=top and depth == 0)
        (node,) = inner
    return True


def _parts_of(node: Any, kind: str) -> list[dict]:
    """Return the parts of a config whose type has a name."""
    inner = node.values() if isinstance(node, dict) else node
    if not isinstance(node, dict | list | tuple):
        return []
    own = [node] if isinstance(node, dict) and node.get('type') == kind else []
    return own + [part for below in inner for part in _parts_of(below, kind)]


def _step(node: Any, key: str) -> tuple | None:
    """Return what lies below a key or a position, wrapped since it may be None."""
    if isinstance(node, dict):
        return (node[key],) if key in node else None
    if isinstance(node, list | tuple) and key.isdigit() and int(key) < len(node):
        return (node[int(key)],)
    return None


def _takes(node: Any, key: str, scope: str | None, top: bool) -> bool:
    """Tell whether the class that a node of a config builds has an argument of that name."""
    if not isinstance(node, dict):
        return False
    cls = Runner if top else _class_of(node.get('type'), scope)
    return any(
        key in inspect.signature(part.__init__).parameters
        for part in inspect.getmro(cls or object)
        if '__init__' in vars(part) and part is not object
    )


def _class_of(kind: Any, scope: str | None) -> type | None:
    """Return the class that ``type`` names, in whatever registry it is."""
    if not isinstance(kind, str):
        return kind if inspect.isclass(kind) else None
    for registry in vars(mmengine.registry).values():
        if isinstance(registry, Registry):
            for name in (f'{scope}.{kind}', kind):
                found = registry.get(name)
                if inspect.isclass(found):
                    return found
    return None
