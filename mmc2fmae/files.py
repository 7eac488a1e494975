"""Files of any kind: written whole or not at all, listed, identified by their content."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

Item = TypeVar('Item')
AnyPath = str | os.PathLike[str]

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


@contextmanager
def atomic_file(path: AnyPath) -> Iterator[BinaryIO]:
    """Open a file to write whose name appears, with the full content, when the block ends.

    Args:
        path: Final name; missing folders are made.

    Raises:
        OSError: The disk is full or not writable; an older file of that name is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f'.{path.name}.tmp')
    try:
        with open(aside, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)  # a full disk gets back what was taken
        raise


def write_atomically(data: bytes, path: AnyPath) -> None:
    """Write a file so that its name never shows anything but its full content.

    Args:
        data: Content.
        path: Final name; missing folders are made.

    Raises:
        OSError: The disk is full or not writable; an older file of that name is untouched.
    """
    with atomic_file(path) as file:
        file.write(data)


def file_sha256(*paths: AnyPath, on_read: Callable[[int], object] | None = None) -> str:
    """Return the SHA-256 of the content of files, one after the other, in hexadecimal digits.

    Args:
        *paths: Files.
        on_read: Told the number of bytes of each part that was read.
    """
    digest = sha256()
    for path in paths:
        with open(path, 'rb') as file:
            while part := file.read(2**22):
                digest.update(part)
                if on_read is not None:
                    on_read(len(part))
    return digest.hexdigest()


def existing_folder(path: AnyPath) -> Path:
    """Return the nearest folder above ``path``, or itself, that exists: it shows the disk."""
    path = Path(path).resolve()
    while not path.exists():
        path = path.parent
    return path


def require_room(folder: AnyPath, need: int, what: str, fix: str) -> None:
    """Check that a disk has room before anything is written to it.

    Args:
        folder: Folder to write to; need not exist.
        need: Bytes.
        what: What needs them, such as 'the pack'.
        fix: What to do where there are fewer.

    Raises:
        OSError: There are too few bytes.
    """
    free = shutil.disk_usage(existing_folder(folder)).free
    if free < need:
        unit, size = ('GiB', 2**30) if need >= 2**30 else ('MiB', 2**20)
        raise OSError(
            f'{folder} has {free / size:.1f} {unit} free, expected {need / size:.1f} {unit} for '
            f'{what}: {fix}'
        )


def list_files(root: AnyPath) -> list[str]:
    """Return the relative paths of all files under ``root``, sorted, following links."""
    names = []
    for folder, _, files in os.walk(root, followlinks=True):
        prefix = os.path.relpath(folder, root)
        names += files if prefix == '.' else [os.path.join(prefix, name) for name in files]
    return sorted(names)


def list_photographs(root: AnyPath, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[str]:
    """Return the relative paths of all photographs under ``root``, sorted, following links."""
    return [name for name in list_files(root) if name.lower().endswith(tuple(suffixes))]


def evenly(items: Sequence[Item], number: int | None) -> list[Item]:
    """Return ``number`` items spread evenly over ``items``, or all of them."""
    if number is None or number >= len(items):
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, number).astype(int)]


def missing_files(paths: Iterable[AnyPath]) -> list[str]:
    """Return the paths that do not exist; lists folders instead of asking for each file."""
    folders: dict[str, set[str]] = {}
    missing = []
    for path in map(str, paths):
        folder, name = os.path.split(path)
        if folder not in folders:
            there = os.path.isdir(folder or '.')
            folders[folder] = set(os.listdir(folder or '.')) if there else set()
        if name not in folders[folder]:
            missing.append(path)
    return missing
