"""Defects of a file of many rows: counted by kind, told in one line with the first ids."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc2fmae.errors import DatasetError, shown

FEW = 0.01
"""Share of odd objects that large sets have, COCO itself among them, and that are let pass."""


class Found(NamedTuple):
    """What a check found in data that can be used.

    Args:
        line: What the data are, for the log.
        notes: What was repaired, or is odd enough for the console; a line each.
    """

    line: str
    notes: list[str]


class Defects:
    """Defects of one file, counted by kind and raised together.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kinds: list[str] = []

    def note(self, kind: str, rows: Sequence, bad: Sequence[int] | np.ndarray, what: str) -> None:
        """Note that rows of a kind ('annotations') are wrong, by their places."""
        if len(bad):
            first = ', '.join(_name(rows[i], i) for i in bad[:5])
            more = ', ...' if len(bad) > 5 else ''
            self.kinds.append(f'{len(bad):,} of {len(rows):,} {kind} {what} (ids {first}{more})')

    def note_many(self, kind: str, rows: Sequence, bad: np.ndarray, what: str) -> None:
        """Note them where they are more than the few odd ones that every large set has."""
        if len(bad) > FEW * len(rows):
            self.note(kind, rows, bad, what)

    def stop(self) -> None:
        """Raise what was noted.

        Raises:
            DatasetError: Something was.
        """
        if self.kinds:
            raise DatasetError(f'{self.path}: {"; ".join(self.kinds)}: correct or remove them')


def _name(row: Any, place: int) -> str:
    known = type(row) is dict and 'id' in row
    return repr(row['id'])[:40] if known else f'none at place {place}'


def note_values(
    defects: Defects, kind: str, rows: list[dict], key: str, fits: Callable, expected: str
) -> None:
    """Note the rows whose value of a key does not fit."""
    bad = [i for i, row in enumerate(rows) if not fits(row.get(key))]
    if bad:
        value = shown(rows[bad[0]][key]) if key in rows[bad[0]] else 'missing'
        defects.note(kind, rows, bad, f'have {key} {value}, expected {expected}')
