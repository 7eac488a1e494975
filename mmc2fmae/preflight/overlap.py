"""Photographs that are trained on and validated on, too: numbers on them say little."""

import zlib
from collections.abc import Callable, Hashable, Iterable, Sequence

from mmc2fmae.bundled_files import file_size, open_file
from mmc2fmae.errors import first_names
from mmc2fmae.files import file_sha256
from mmc2fmae.parallel import in_threads
from mmc2fmae.preflight.photographs import MOST

_PART = 4096


def trained_on_too(train: Iterable[str], val: Iterable[str]) -> str:
    """Say how many photographs to validate on are trained on, too.

    Files are the same that have the same content, whatever they are called. Those that cannot be
    read are left to who reads them.

    Args:
        train: Paths of the photographs to train on.
        val: Paths of those to validate on.

    Returns:
        A line with the number and the first, '' where there is none, or more than :data:`MOST`.
    """
    paths = [sorted(set(train)), sorted(set(val))]
    total = len(paths[1])
    if not all(paths) or sum(map(len, paths)) > MOST:
        return ''
    for key in (_size, _parts, file_sha256):  # the costly one is asked of few
        paths, keys = _alike(key, *paths)
    twins = dict(zip(keys[0], paths[0], strict=True))
    pairs = [(path, twins[code]) for path, code in zip(paths[1], keys[1], strict=True)]
    if not pairs:
        return ''
    shown = [path if path == other else f'{path} (= {other})' for path, other in pairs]
    return (
        f'{len(pairs):,} of {total:,} photographs to validate on are trained on, too, first '
        f'{first_names(shown, 3)}: numbers on them flatter, keep them out of the training data'
    )


def _alike(
    key: Callable[[str], Hashable | None], first: Sequence[str], second: Sequence[str]
) -> tuple[list[list[str]], list[list[Hashable]]]:
    """Return of two lists those paths of which the other has one of the same key, and the keys."""
    found = [list(in_threads(key, paths, 'photograph')) for paths in (first, second)]
    both = {*found[0]} & {*found[1]} - {None}
    kept = [
        [(path, value) for path, value in zip(paths, values, strict=True) if value in both]
        for paths, values in zip((first, second), found, strict=True)
    ]
    return [[p for p, _ in pairs] for pairs in kept], [[k for _, k in pairs] for pairs in kept]


def _size(path: str) -> int | None:
    try:
        return file_size(path) or None
    except OSError:
        return None


def _parts(path: str) -> tuple[int, int]:
    """Return a file's size and a checksum of its start, middle and end."""
    size, checksum = file_size(path), 0
    with open_file(path) as file:
        for place in (0, size // 2, max(size - _PART, 0)):
            file.seek(place)
            checksum = zlib.crc32(file.read(_PART), checksum)
    return size, checksum
