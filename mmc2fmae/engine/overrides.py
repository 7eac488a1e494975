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
from mmengine.config import ConfigDict, DictAction
from mmengine.registry import Registry
from mmengine.runner import Runner

# Top-level fields that a run reads: variables that a file only calculates with are left out.
_RUN = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
_RUN_TOO = {  # read by mmengine from the config itself
    'runner_type', 'model_wrapper_cfg', 'compile', 'sync_bn', 'find_unused_parameters',
    'activation_checkpointing', 'efficient_conv_bn_eval',
}  # fmt: skip
# Fields that mmengine takes out of a part before it builds it.
_TAKEN_OUT = {
    'type', '_scope_', 'priority', 'constructor', 'paramwise_cfg', 'custom_keys',
    'convert_to_iter_based',
}  # fmt: skip


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
            f'{_nearest(type_name, known)}'
        )
    places = []
    for path, part in chosen:
        for field, value in fields.items():
            first = field.partition('.')[0]
            if not takes_field(part, first, cfg.get('default_scope')):
                fields_known = constructor_fields(part['type'], cfg.get('default_scope')) or set()
                raise ValueError(
                    f'{type_name} takes no field {first}; the nearest of its fields: '
                    f'{_nearest(first, fields_known)}'
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
        value = DictAction._parse_iterable(text)
        try:
            places = set_fields(cfg, type_name, **{field: value})
        except ValueError as error:
            raise ValueError(f'--set {setting}: {error}') from error
        lines += [f'{place} = {value!r}' for place in places]
    return lines


def check_options(cfg: Mapping, options: Collection[str]) -> None:
    """Refuse dotted keys of ``--cfg-options`` that lead nowhere; mmengine would add them silently.

    All but the last name of a key must be there, unless the constructor around it takes the name
    or the options give the new part a ``type``. The last name is left to the constructor.

    Args:
        cfg: Config before the options.
        options: Dotted keys.

    Raises:
        ValueError: A key leads nowhere; the message names the nearest.
    """
    added = {key.rpartition('.')[0] for key in options if key.endswith('.type')}
    top = {*cfg, *_RUN, *_RUN_TOO}
    for key in options:
        first, *names = key.split('.')
        if first not in top:
            raise ValueError(
                f'--cfg-options {key}: there is no {first}; the nearest: {_nearest(first, top)}'
            )
        part, path = cfg.get(first), first
        for name in names[:-1]:
            if isinstance(part, list | tuple) and name.isdigit() and int(name) < len(part):
                part = part[int(name)]
            elif not isinstance(part, Mapping):
                break  # mmengine's own error
            elif name not in part:
                _check_new(part, name, f'{path}.{name}' in added, cfg, f'{key}: {path}')
                break
            else:
                part = part[name]
            path = f'{path}.{name}'


def _check_new(part: Mapping, name: str, has_type: bool, cfg: Mapping, where: str) -> None:
    known = 'type' in part and takes_field(part, name, cfg.get('default_scope'))
    free = name in _TAKEN_OUT or where.endswith('.custom_keys')  # names of parameters
    if not (has_type or known or free):
        raise ValueError(
            f'--cfg-options {where} has no {name}; the nearest: {_nearest(name, part)}'
        )


def takes_field(part: Mapping, field: str, scope: str | None = None) -> bool:
    """Tell whether a part with a ``type`` may have a field.

    Args:
        part: Part of a config.
        field: Name of the field.
        scope: Default scope of the config.
    """
    if field in part or field in _TAKEN_OUT:
        return True
    fields = constructor_fields(part['type'], scope)
    return fields is None or field in fields


def constructor_fields(type_name: str, scope: str | None = None) -> set[str] | None:
    """Return the arguments of what is registered under a name; None where that is not known.

    Args:
        type_name: Type, with its scope or without.
        scope: Scope of a name without one.
    """
    prefix, _, name = str(type_name).rpartition('.')
    found: set[str] = set()
    makers = _registered(name, prefix or scope or 'mmengine')
    for maker in makers:
        fields = _arguments(maker)
        if fields is None:
            return None
        found |= fields
    return found if makers else None


def _registered(name: str, scope: str) -> list[Callable]:
    """What the registries hold under a name: a config does not say in which of them to look."""
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


def _arguments(maker: Callable) -> set[str] | None:
    """Names that a function or class takes, parents included where it hands on ``**kwargs``."""
    calls = [maker]
    if isinstance(maker, type):
        calls = [vars(parent)['__init__'] for parent in maker.__mro__ if '__init__' in vars(parent)]
    names: set[str] = set()
    for call in calls:
        arguments = inspect.signature(call).parameters.values()
        names |= {a.name for a in arguments if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY)}
        if all(a.kind is not a.VAR_KEYWORD for a in arguments):
            return names - {'self'}
    return None


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


def _set(part: MutableMapping, field: str, value: Any, where: str) -> None:
    *outer, last = field.split('.')
    for name in outer:
        if part.get(name) is None:
            part[name] = ConfigDict()
        part = part[name]
        if not isinstance(part, Mapping):
            raise ValueError(f'{name} of {where} is {part!r}: it has no fields, set it as a whole')
    part[last] = value


def _nearest(name: str, known: Collection[str]) -> str:
    found = get_close_matches(name, sorted(map(str, known)), n=3, cutoff=0.0)
    return ', '.join(found) or 'none'
