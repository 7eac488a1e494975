"""Paths as users write them: `~` and $VARIABLES, also where no shell has expanded them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AnyPath = str | os.PathLike[str]

_HOME = re.compile(r'(?:(?<=[=:])|^)~(?=/|$)')
_VARIABLE = re.compile(r'\$(?:\{(\w+)\}|([A-Za-z_]\w*))')


def expand_path(path: AnyPath) -> str:
    """Expand ``~`` and variables in a path, also in ``KEY=PATH`` and ``PATH:PATH``.

    Addresses (``https://...``) stay as they are, and so does the name of something that exists.

    Args:
        path: Path, as a user writes it.

    Raises:
        ValueError: A variable is not set or empty, or there is no such user.
    """
    text = os.fspath(path)
    if '://' in text or os.path.lexists(text):
        return text
    found = _HOME.sub(lambda _: os.path.expanduser('~'), text)
    found = os.path.expanduser(_VARIABLE.sub(lambda match: _value(match, text), found))
    if found.startswith('~'):
        raise ValueError(f'{text}: there is no user {found.split("/")[0][1:]}: write the path out')
    return found


def expand_values(value: Any) -> Any:
    """Expand the texts in a value of an option, in lists and dicts, too; see :func:`expand_path`.

    Texts without ``~`` and variables, most of which are no paths, stay as they are.

    Args:
        value: Value of any type.

    Raises:
        ValueError: A variable is not set or empty.
    """
    if isinstance(value, Path):
        return Path(expand_path(value))
    if isinstance(value, str):
        is_path = value[:1] == '~' or _HOME.search(value) or _VARIABLE.search(value)
        return expand_path(value) if is_path else value
    if isinstance(value, Mapping):
        return {key: expand_values(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(expand_values(part) for part in value)
    return value


def _value(match: re.Match[str], text: str) -> str:
    name = match[1] or match[2]
    if not os.environ.get(name):
        state = 'empty' if name in os.environ else 'not set'
        raise ValueError(f'{text}: the variable {name} is {state}: set it, or write the path out')
    return os.environ[name]
