"""Millions of samples in a few large blocks of memory, which data workers share.

A list of a million paths and dicts takes a gigabyte of small objects, and every worker that reads
one writes to its reference count, so that in time each has a copy of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np


class Names(Sequence[str]):
    """File names as one block of bytes.

    Args:
        block: (bytes,) uint8, the names as the disk has them, each with a zero behind it.
    """

    def __init__(self, block: np.ndarray) -> None:
        self.block = block
        self._ends = np.flatnonzero(block == 0)

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Pack names, of which none has a zero byte."""
        packed = bytearray()
        for name in names:
            packed += os.fsencode(name) + b'\0'
        return cls(np.frombuffer(bytes(packed), np.uint8))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Names: ...

    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f'name {index} of {len(self)}')
        index %= len(self)
        start = self._ends[index - 1] + 1 if index else 0
        return os.fsdecode(self.block[start : self._ends[index]].tobytes())

    def take(self, indices: Iterable[int]) -> Names:
        """Return the names of these indices."""
        return Names.of(self[i] for i in indices)


class SampleTable(Sequence[dict[str, Any]]):
    """What ``load_data_list`` returns in place of a list of dicts, which are made when asked for.

    Args:
        names: Paths of the photographs.
        labels: (N,) class indices, None where there are none.
        folder: Folder that the paths are made absolute with, None where they stay relative.
        records: (N,) numbers of the samples in a bundle, None where they are no part of one.
    """

    def __init__(
        self,
        names: Names,
        labels: np.ndarray | None = None,
        folder: str | Path | None = None,
        records: np.ndarray | None = None,
    ) -> None:
        self.names = names
        self.labels = labels
        self.folder = folder
        self.records = records

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        labels: Iterable[int] | None = None,
        folder: str | Path | None = None,
    ) -> SampleTable:
        """Pack names and labels."""
        packed = None if labels is None else np.fromiter(labels, np.int32)
        return cls(Names.of(names), packed, folder)

    def __len__(self) -> int:
        return len(self.names)

    def clear(self) -> None:
        """Forget all samples, as MMEngine wishes where ``serialize_data`` is set."""
        self.names, self.labels, self.records = Names.of([]), None, None

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> SampleTable: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | SampleTable:
        labels = self.labels
        if isinstance(index, slice):
            chosen = None if labels is None else labels[index]
            records = None if self.records is None else self.records[index]
            return SampleTable(self.names[index], chosen, self.folder, records)
        name = self.names[index]
        sample: dict[str, Any] = dict(path=name)
        if self.folder is not None:
            sample = dict(img_path=str(Path(self.folder, name)))
        if labels is not None:
            sample['gt_label'] = int(labels[index])
        if self.records is not None:
            sample['record'] = int(self.records[index])
        return sample
