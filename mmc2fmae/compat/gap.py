"""The record of one gap of the stack, and the command that closes it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Gap:
    """One thing that training needs from the stack.

    Args:
        name: what is needed.
        state: 'ok' (it is there), 'filled in' (by this package), 'warning' (it may do harm) or
            'missing' (training cannot run).
        detail: what was found.
        fix: what the user can do about it; empty when there is nothing to do.
    """

    name: str
    state: Literal['ok', 'filled in', 'warning', 'missing']
    detail: str
    fix: str = ''


def pip_install(*requirements: str) -> str:
    """Return the command that installs `requirements` into the Python that is running."""
    return ' '.join(['python -m pip install', *(f"'{r}'" for r in requirements)])
