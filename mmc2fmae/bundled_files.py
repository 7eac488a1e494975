"""A file that lies within a shard, and how it and any other file is opened."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO

from mmc2fmae.paths import AnyPath


class BundledFile(str):
    """Where a file lies within a shard, as a text, and the way to its bytes.

    Whatever prints, sorts or compares paths takes it as it is; what opens files calls
    :func:`open_file`.

    Attributes:
        size: Bytes.
        read: Reads them.
    """

    size: int
    read: Callable[[], bytes]

    @classmethod
    def of(cls, address: str, size: int, read: Callable[[], bytes]) -> BundledFile:
        """Return the file of an address."""
        file = cls(address)
        file.size, file.read = size, read
        return file


def open_file(path: AnyPath) -> BinaryIO:
    """Open a file to read, wherever it lies.

    Raises:
        OSError: It is not there, or its shard is cut short.
    """
    return io.BytesIO(path.read()) if isinstance(path, BundledFile) else open(path, 'rb')


def file_size(path: AnyPath) -> int:
    """Return the bytes that a file has.

    Raises:
        OSError: It is not there.
    """
    return path.size if isinstance(path, BundledFile) else os.stat(path).st_size
