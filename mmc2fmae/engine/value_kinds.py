"""Kinds of values: what a field of a config holds, and what may take its place."""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin


def check_value(where: str, old: Any, new: Any, annotation: Any = None) -> None:
    """Refuse a value of another type than the field's.

    Args:
        where: Option and field, for the message.
        old: What the field holds; None where it is empty or new.
        new: The value.
        annotation: Type that the constructor states for it, where it is known.

    Raises:
        ValueError: The value does not fit.
    """
    kinds = _kinds(annotation)
    if new is None:
        return
    if kinds:
        fits = _kind(new) in kinds or (kinds == {'whole'} and _is_whole(new))
        fits = fits or ('number' in kinds and _kind(new) == 'whole')
        expected = ' or '.join(_NAMES[kind] for kind in sorted(kinds))
        # What the config's authors wrote there is right, whatever the annotation says.
        fits = fits or (old is not None and _kind(old) not in kinds and _alike(old, new))
    else:
        fits = old is None or _alike(old, new)
        expected = f'{_NAMES[_kind(old)]}, as {old!r} is'
    if not fits:
        raise ValueError(
            f'{where}: {new!r} is {_NAMES[_kind(new)]}, expected {expected}'
            + _quoting(kinds, old, new)
        )


_NAMES = dict(
    flag='True or False', whole='a whole number', number='a number', text='a text',
    list='a list', fields='a part with fields', other='something else',
)  # fmt: skip


def _quoting(kinds: set[str], old: Any, new: Any) -> str:
    wants_text = 'text' in kinds or (not kinds and isinstance(old, str))
    return '; put a text in quotes: KEY="\'...\'"' if wants_text else ''


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return 'flag'
    for kind, known in (('whole', int), ('number', float), ('text', str), ('fields', Mapping)):
        if isinstance(value, known):
            return kind
    return 'list' if isinstance(value, list | tuple) else 'other'


def _alike(old: Any, new: Any) -> bool:
    numbers = {'whole', 'number'}
    kinds = {_kind(old), _kind(new)}
    if 'other' in kinds or len(kinds) == 1 or kinds == numbers:
        return True
    # A size may be a number or a pair, a part may be known by a name (arch='base').
    return ('list' in kinds and bool(kinds & numbers)) or kinds == {'text', 'fields'}


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


_SIMPLE = dict(bool='flag', int='whole', float='number', str='text')


def _kinds(annotation: Any) -> set[str]:
    """Kinds of value that an annotation names; empty where it says nothing certain."""
    if isinstance(annotation, str):  # of a module that postpones them
        words = annotation.removeprefix('Optional[').removesuffix(']').split('|')
        named = [_SIMPLE.get(word.strip()) for word in words if word.strip() != 'None']
        return {kind for kind in named if kind} if all(named) else set()
    if annotation in (None, inspect.Parameter.empty, Any):
        return set()
    if isinstance(annotation, typing.NewType | typing.TypeVar):
        return set()
    origin = get_origin(annotation) or annotation
    if origin in (Union, types.UnionType):
        inner = [_kinds(part) for part in get_args(annotation) if part is not type(None)]
        return set().union(*inner) if all(inner) else set()
    if origin is typing.Literal:
        return {_kind(value) for value in get_args(annotation)}
    for kind, known in (('flag', bool), ('whole', int), ('number', float), ('text', str)):
        if origin is known:
            return {kind}
    if inspect.isclass(origin) and issubclass(origin, Mapping | dict):
        return {'fields'}
    if inspect.isclass(origin) and issubclass(origin, Sequence | list | tuple):
        return {'list'}
    return set()
