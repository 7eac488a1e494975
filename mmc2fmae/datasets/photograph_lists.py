"""Lists of photographs: every entry is one file, and photographs that share a map are refused."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.files import (
    IMAGE_SUFFIXES,
    list_photographs,
    missing_files,
    say_once,
    spelt_otherwise,
)
from mmc2fmae.paths import AnyPath
from mmc2fmae.texts import read_lines


def match_entries(
    file: AnyPath, entries: Iterable[str], root: AnyPath, names: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Find the photograph that each entry of a list means.

    An entry is a photograph's path relative to its folder. The end of such a path, or a longer path
    that ends in one, do as well, and other suffixes, as long as only one photograph fits.

    Args:
        file: The list, for messages.
        entries: Its entries.
        root: Folder of the photographs.
        names: Their paths relative to it.

    Returns:
        Index of the photograph of each entry, and the entries that match none.

    Raises:
        DatasetError: An entry fits several photographs, or entries are the same photograph.
    """
    exact = {name: index for index, name in enumerate(names)}
    tails: dict[str, list[int]] = {}
    found: dict[str, int] = {}
    owner: dict[int, str] = {}
    missing = []
    for entry in dict.fromkeys(entries):
        path = _relative(entry, root)
        index = exact.get(path)
        if index is None:
            tails = tails or _by_stem(names)
            fitting = _fitting(path, names, tails)
            if len(fitting) > 1:
                raise DatasetError(
                    f'{file}: {entry} may be {first_names([names[i] for i in fitting])} of {root}: '
                    f'write paths relative to {root}'
                )
            if not fitting:
                missing.append(entry)
                continue
            index = fitting[0]
        if index in owner:
            raise DatasetError(
                f'{file}: {owner[index]} and {entry} are both {names[index]} of {root}: write '
                f'paths relative to {root}, each once'
            )
        owner[index] = entry
        found[entry] = index
    return found, missing


def find_entries(file: AnyPath, root: AnyPath, names: Sequence[str]) -> list[int]:
    """Return the indices of the photographs that a file lists, a line each, in its order.

    Args:
        file: The list; see :func:`match_entries`.
        root: Folder of the photographs.
        names: Their paths relative to it.

    Raises:
        DatasetError: The list cannot be read or is empty, or entries match none or several.
    """
    entries = _read_entries(file)
    if not entries:
        raise DatasetError(f'{file} is empty: expected a photograph a line')
    found, missing = match_entries(file, entries, root, names)
    if missing:
        other = spelt_otherwise([os.path.join(root, missing[0])])
        raise DatasetError(
            f'{file}: {len(missing):,} of {len(entries):,} photographs are not in {root}, first '
            f'{first_names(missing)}{other}: bring them back, or take them out of the list'
        )
    return [found[entry] for entry in entries]


def read_photograph_list(
    file: AnyPath, root: AnyPath, suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> list[str]:
    """Return the paths, relative to ``root``, of the photographs that a file lists, in its order.

    The folder is listed only where entries are no paths of files: a list of ImageNet costs little.

    Args:
        file: The list; see :func:`match_entries`.
        root: Folder of the photographs.
        suffixes: Suffixes of photographs.

    Raises:
        DatasetError: The list cannot be read or is empty, or entries match none or several.
    """
    names = _read_entries(file)
    plain = all(
        n.lower().endswith(tuple(suffixes)) and not n.startswith((os.sep, os.pardir)) for n in names
    )
    if names and plain and not missing_files(os.path.join(root, name) for name in names):
        return names
    there = list_photographs(root, suffixes)
    return [there[index] for index in find_entries(file, root, there)]


def require_unique_stems(root: AnyPath, names: Sequence[str]) -> None:
    """Check that no two photographs share the name but for the suffix: they would share maps.

    Args:
        root: Folder of the photographs, for the message.
        names: Their paths relative to it.

    Raises:
        DatasetError: Photographs do.
    """
    # A million numbers, where a million strings would take 200 MB; equal ones are looked at below.
    hashes = np.fromiter((hash(os.path.splitext(name)[0]) for name in names), np.int64, len(names))
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return
    stems: dict[str, str] = {}
    twins = []
    for name in dict.fromkeys(names):
        other = stems.setdefault(os.path.splitext(name)[0], name)
        if other != name:
            twins.append(f'{other} and {name}')
    if twins:
        raise DatasetError(
            f'{root}: {len(twins):,} photographs have the name of another but for the suffix, so '
            f'they would share their maps: {first_names(twins)}; rename or remove one of each'
        )


def _read_entries(file: AnyPath) -> list[str]:
    entries = [os.path.normpath(line) for line in read_lines(file, file_names=True)]
    again = len(entries) - len(set(entries))
    if again:
        say_once(
            f'{file}: {again:,} entries repeat others; photographs are used as often as listed'
        )
    return entries


def _relative(entry: str, root: AnyPath) -> str:
    if os.path.isabs(entry) and Path(entry).is_relative_to(Path(root).absolute()):
        entry = os.path.relpath(entry, root)
    return os.path.normpath(entry)


def _stem(name: str) -> str:
    """Return a file's name without a photograph's suffix; accents as one character (macOS: two)."""
    base, (stem, suffix) = os.path.basename(name), os.path.splitext(os.path.basename(name))
    return unicodedata.normalize('NFC', stem if suffix.lower() in IMAGE_SUFFIXES else base)


def _by_stem(names: Sequence[str]) -> dict[str, list[int]]:
    found = defaultdict(list)
    for index, name in enumerate(names):
        found[_stem(name)].append(index)
    return dict(found)


def _fitting(path: str, names: Sequence[str], tails: dict[str, list[int]]) -> list[int]:
    """Return the photographs of the same stem whose folders agree as far as both are written."""
    if '\\' in path and _stem(path) not in tails:  # written on Windows
        path = path.replace('\\', os.sep)
    base = unicodedata.normalize('NFC', os.path.basename(path))
    folders = _folders(path)
    fitting = []
    for index in tails.get(_stem(path), ()):
        own = _folders(names[index])
        known = min(len(folders), len(own))
        if folders[len(folders) - known :] == own[len(own) - known :]:
            fitting.append(index)
    same = [i for i in fitting if unicodedata.normalize('NFC', os.path.basename(names[i])) == base]
    return same or fitting


def _folders(path: str) -> list[str]:
    folder = unicodedata.normalize('NFC', os.path.dirname(path))
    return [part for part in folder.split(os.sep) if part not in ('', '.')]
