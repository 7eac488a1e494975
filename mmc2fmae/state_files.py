"""JSON that a command wrote for the next one: checked when it is read, and set aside if damaged."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmc2fmae.errors import shown

Shape = Mapping[str, Any]
"""Name of a field to what it may be: a type or a tuple of types, with ``float`` for any finite
number; a mapping, of an object with these fields; a list of one of these, of a list of such; or
``{'*': ...}``, of an object whose fields are all so. Fields that are not named may be anything."""


def read_state(path: str | Path, shape: Shape) -> dict[str, Any] | None:
    """Read a state file; a damaged one is named, renamed to ``NAME.damaged``, and counts as absent.

    Args:
        path: The file.
        shape: What it holds.

    Returns:
        Its content, None where there is none.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        reason = f'{type(error).__name__}: {str(error)[:100]}'
    else:
        found = difference(content, shape)
        if found is None:
            return dict(content)
        reason = found
    set_aside(path, reason)
    return None


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged file, and say so.

    Args:
        path: The file.
        reason: What is wrong with it.
    """
    aside = path.with_name(f'{path.name}.damaged')
    os.replace(path, aside)
    print(
        f'{path} is damaged ({reason}): it is kept as {aside.name}, and what it recorded counts '
        'as not done',
        file=sys.stderr,
    )


def difference(value: Any, shape: Any, place: str = '') -> str | None:
    """Say where a value is not as it should be; None where it is.

    Args:
        value: What was read.
        shape: A :data:`Shape`, or a part of one.
        place: What the value is called.
    """
    where = place or 'it'
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return f'{where} is {shown(value, 60)}, expected an object'
        every = shape.get('*')
        parts = dict.fromkeys(value, every) if every is not None else shape
        lacking = [name for name in parts if name not in value]
        if lacking:
            return f'{where} lacks {", ".join(lacking[:3])}'
        found = (difference(value[k], part, f'{place}.{k}'.strip('.')) for k, part in parts.items())
        return next((text for text in found if text), None)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f'{where} is {shown(value, 60)}, expected a list'
        inner = (difference(part, shape[0], f'{place}[{i}]') for i, part in enumerate(value))
        return next((text for text in inner if text), None)
    if any(_is(value, kind, place) for kind in (shape if isinstance(shape, tuple) else (shape,))):
        return None
    return f'{where} is {shown(value, 60)}'


def _is(value: Any, kind: Any, place: str) -> bool:
    if isinstance(kind, Mapping | list):
        return difference(value, kind, place) is None
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) < 1e18  # which NaN and infinity are not
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
