"""Settings by name: parts of a config are found by their type, whatever their place in a list."""

import importlib
import inspect
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from difflib import get_close_matches
from typing import Any

from mmengine import registry
from mmengine.config import ConfigDict
from mmengine.registry import Registry
from mmengine.runner import Runner

from mmc2fmae.engine.value_kinds import check_value
from mmc2fmae.values import parse_value

_RUN = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
RUN_FIELDS = _RUN | {  # and what mmengine reads from the config itself
    'runner_type', 'model_wrapper_cfg', 'compile', 'sync_bn', 'find_unused_parameters',
    'activation_checkpointing', 'efficient_conv_bn_eval', 'strategy', 'custom_imports', 'shard',
}  # fmt: skip
"""Top-level fields that a run reads: variables that a file only calculates with are left out."""
FREE_FIELDS = {
    'type', '_scope_', 'priority', 'constructor', 'paramwise_cfg', 'custom_keys',
    'convert_to_iter_based',
}  # fmt: skip
"""Fields that mmengine takes out of a part before it builds it."""


def typed_parts(cfg: Mapping) -> Iterator[tuple[str, MutableMapping]]:
    """Yield dotted path and content of every part with a ``type`` that a run builds.

    Args:
        cfg: Config, or a base config while mmengine reads a file (``_base_``).
    """
    for key in sorted(_RUN & set(cfg)):
        yield from _typed_parts(cfg[key], key)


def set_fields(cfg: Mapping, type_name: str, **fields: Any) -> list[str]:
    """Set fields of every part of one type, in place; for configs, too.

    Args:
        cfg: Config, or ``_base_`` in a config file.
        type_name: Type, with its scope (``mmdet.LoadAnnotations``) or without.
        **fields: Field to value; a dotted name sets a field within a field.

    Returns:
        Dotted paths of what was set.

    Raises:
        ValueError: The config has no such part, or its constructor takes no such field.
    """
    parts = list(typed_parts(cfg))
    chosen = [(path, part) for path, part in parts if type_name in _names(part)]
    if not chosen:
        known = {name for _, part in parts for name in _names(part)}
        raise ValueError(
            f'the config has no part of type {type_name}; the nearest of its types: '
            f'{nearest_names(type_name, known)}'
        )
    places = []
    for path, part in chosen:
        for field, value in fields.items():
            first = field.partition('.')[0]
            if not takes_field(part, first, cfg.get('default_scope')):
                fields_known = constructor_fields(part['type'], cfg.get('default_scope')) or set()
                raise ValueError(
                    f'{type_name} takes no field {first}; the nearest of its fields: '
                    f'{nearest_names(first, fields_known)}'
                )
            _set(part, field, value, f'{path} ({type_name})')
            places.append(f'{path}.{field}')
    return places


def apply_settings(cfg: Mapping, settings: Sequence[str]) -> list[str]:
    """Apply settings of the command line, such as ``JointRandomResizedCrop.size=448``, in place.

    Args:
        cfg: Config.
        settings: ``TYPE.field=value``; values are read as those of ``--cfg-options``.

    Returns:
        Dotted paths of what was set, each with its value.

    Raises:
        ValueError: A setting is misspelt; the message names the nearest.
    """
    lines = []
    for setting in settings:
        key, equals, text = setting.partition('=')
        known = {name for _, part in typed_parts(cfg) for name in _names(part)}
        fitting = [name for name in known if key.startswith(f'{name}.')]
        type_name = max(fitting, key=len, default=key.partition('.')[0])
        field = key.removeprefix(type_name).removeprefix('.')
        if not equals or not field:
            raise ValueError(
                f'--set {setting}: expected TYPE.field=value, such as '
                'JointRandomResizedCrop.size=448'
            )
        try:
            value = parse_value(text)
            _check_kinds(cfg, type_name, field, value)
            places = set_fields(cfg, type_name, **{field: value})
        except ValueError as error:
            raise ValueError(f'--set {setting}: {error}') from error
        lines += [f'{place} = {value!r}' for place in places]
    return lines


def takes_field(part: Mapping, field: str, scope: str | None = None) -> bool:
    """Tell whether a part with a ``type`` may have a field.

    Args:
        part: Part of a config.
        field: Name of the field.
        scope: Default scope of the config.
    """
    if field in part or field in FREE_FIELDS:
        return True
    fields = constructor_fields(part['type'], scope)
    return fields is None or field in fields


def constructor_fields(type_name: str, scope: str | None = None) -> set[str] | None:
    """Return the arguments of what is registered under a name; None where that is not known.

    Args:
        type_name: Type, with its scope or without.
        scope: Scope of a name without one.
    """
    found: set[str] = set()
    makers = constructors(type_name, scope)
    for maker in makers:
        fields, complete = parameters(maker)
        if not complete:
            return None
        found |= set(fields)
    return found if makers else None


def constructors(type_name: str, scope: str | None = None) -> list[Callable]:
    """Return what is registered under a name: a config does not say in which registry to look.

    Args:
        type_name: Type, with its scope or without.
        scope: Scope of a name without one.
    """
    prefix, _, name = str(type_name).rpartition('.')
    return _registered(name, prefix or scope or 'mmengine')


def _registered(name: str, scope: str) -> list[Callable]:
    if scope != 'mmengine':
        try:
            importlib.import_module(f'{scope}.registry')
        except ImportError:
            return []
    found = []
    for root in vars(registry).values():
        if not isinstance(root, Registry):
            continue
        for part in (root.children.get(scope), root):
            if part is not None:
                part.import_from_location()
                if name in part.module_dict:
                    found.append(part.module_dict[name])
                    break
    return found


def parameters(maker: Callable) -> tuple[dict[str, Any], bool]:
    """Return what a function or class takes, parents included where it hands on ``**kwargs``.

    Returns:
        Annotation of each name, and whether these are all names.
    """
    calls = [maker]
    if isinstance(maker, type):
        calls = [vars(parent)['__init__'] for parent in maker.__mro__ if '__init__' in vars(parent)]
    names: dict[str, Any] = {}
    for call in calls:
        arguments = inspect.signature(call).parameters.values()
        named = (a for a in arguments if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY))
        names = {a.name: a.annotation for a in named if a.name != 'self'} | names
        if all(a.kind is not a.VAR_KEYWORD for a in arguments):
            return names, True
    return names, False


def _typed_parts(value: Any, path: str) -> Iterator[tuple[str, MutableMapping]]:
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, MutableMapping):
        if isinstance(value.get('type'), str):
            yield path, value
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for key, part in inner:
        yield from _typed_parts(part, f'{path}.{key}')


def _names(part: Mapping) -> set[str]:
    return {part['type'], part['type'].rpartition('.')[2]}


def _check_kinds(cfg: Mapping, type_name: str, field: str, value: Any) -> None:
    """Refuse a value of another type than that of a field, wherever it stands."""
    first, *inner = field.split('.')
    for path, part in typed_parts(cfg):
        if type_name in _names(part):
            old, annotations = part.get(first), []
            for name in inner:
                old = old.get(name) if isinstance(old, Mapping) else None
            if not inner:
                makers = constructors(part['type'], cfg.get('default_scope'))
                annotations = [parameters(maker)[0].get(first) for maker in makers]
            check_value(f'{path}.{field}', old, value, *annotations[: len(annotations) == 1])


def _set(part: MutableMapping, field: str, value: Any, where: str) -> None:
    *outer, last = field.split('.')
    for name in outer:
        if part.get(name) is None:
            part[name] = ConfigDict()
        part = part[name]
        if not isinstance(part, Mapping):
            raise ValueError(f'{name} of {where} is {part!r}: it has no fields, set it as a whole')
    part[last] = value


def nearest_names(name: str, known: Collection[str]) -> str:
    """Return up to three names that are nearest to a misspelt one, for a message.

    Args:
        name: What was given.
        known: What there is.
    """
    found = get_close_matches(name, sorted(map(str, known)), n=3, cutoff=0.0)
    return ', '.join(found) or 'none'
