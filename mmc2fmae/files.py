"""Files of any kind: written whole or not at all, listed, identified by their content."""

import os
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import unquote

import numpy as np

from mmc2fmae.bundled_files import open_file
from mmc2fmae.errors import DatasetError
from mmc2fmae.paths import AnyPath as AnyPath

Item = TypeVar('Item')
IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.jfif', '.jpe', '.mpo', '.apng',
    '.gif', '.avif', '.avifs', '.jp2', '.j2k', '.j2c', '.jpc', '.jpf', '.jpx', '.ppm', '.pgm',
    '.pbm', '.pnm',
)  # fmt: skip
"""Suffixes of what :func:`mmc2fmae.images.opening.open_image` reads, lower case."""

SYSTEM_NAMES = frozenset(
    ('__macosx', '@eadir', '#recycle', '$recycle.bin', 'system volume information', 'lost+found',
     'thumbs.db', 'ehthumbs.db', 'desktop.ini')
)  # fmt: skip
"""Files and folders, in lower case, that no user has made; names that begin with a dot, too."""


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
        with open_file(path) as file:
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


class Listing(NamedTuple):
    """What a folder holds, as paths relative to it, sorted.

    Args:
        files: Files in it and in the folders below.
        folders: Folders below.
        hidden: Files and folders that file managers, editors and systems leave behind, unopened.
        again: Links to a folder that is listed already, or that lies around this one.
        broken: Links that lead nowhere.
        links: Those of the files that are links.
        times: Of the folder itself (''), of ``folders`` and of ``again``, the name and when it was
            last changed: its own time and that of its inode in nanoseconds, before it was listed.
    """

    files: list[str]
    folders: list[str]
    hidden: list[str]
    again: list[str]
    broken: list[str]
    links: list[str]
    times: list[tuple[str, int, int]]


def scan_folder(root: AnyPath) -> Listing:
    """List a folder and all below, following links, each folder once.

    Folders that lie here come before links to them, so that the names do not depend on the order in
    which a disk lists them.

    Args:
        root: The folder; one that does not exist holds nothing.

    Raises:
        OSError: A folder cannot be read.
    """
    found = Listing(files=[], folders=[], hidden=[], again=[], broken=[], links=[], times=[])
    # By path, not by inode: some network disks give all folders the same.
    seen = {str(folder) for folder in Path(os.path.realpath(root)).parents}
    waiting = [''] if os.path.isdir(root) else []
    while waiting:
        links: list[str] = []
        for start in sorted(waiting):
            inner = [(start, os.path.realpath(os.path.join(root, start)))]
            while inner:
                folder, place = inner.pop()
                found.times.append((folder, *changed_at(os.path.join(root, folder))))
                if place in seen:
                    found.again.append(folder)
                    continue
                seen.add(place)
                found.folders.append(folder)
                below = _list_one(root, folder, found, links)
                inner += [(os.path.join(folder, n), os.path.join(place, n)) for n in below]
        waiting = links
    found.folders[:1] = []  # the root itself
    parts: tuple[list[Any], ...] = found
    for part in parts:
        part.sort()
    return found


def changed_at(folder: AnyPath) -> tuple[int, int]:
    """Return when a folder's entries and its inode were last changed, in nanoseconds.

    The first can be set back, as rsync does; the second cannot.
    """
    state = os.stat(folder)
    return state.st_mtime_ns, state.st_ctime_ns


def _list_one(root: AnyPath, folder: str, found: Listing, links: list[str]) -> list[str]:
    """Sort the entries of one folder into ``found`` and ``links``; return the folders in it."""
    below = []
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
            name = os.path.join(folder, entry.name)
            if entry.name.startswith('.') or entry.name.lower() in SYSTEM_NAMES:
                found.hidden.append(name)
            elif not entry.is_symlink():
                if entry.is_dir():
                    below.append(entry.name)
                else:
                    found.files.append(name)
            elif os.path.isdir(entry.path):
                links.append(name)
            elif os.path.exists(entry.path):
                found.files.append(name)
                found.links.append(name)
            else:
                found.broken.append(name)
    return below


def list_files(root: AnyPath) -> list[str]:
    """Return the relative paths of all files under ``root``, sorted; see :func:`scan_folder`."""
    return scan_folder(root).files


def list_folders(root: AnyPath) -> list[str]:
    """Return the names of the folders in ``root``, such as class folders, sorted."""
    return [name for name in scan_folder(root).folders if os.sep not in name]


def list_photographs(
    root: AnyPath,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    say: Callable[[str], object] | None = None,
) -> list[str]:
    """Return the relative paths of all photographs under ``root``, sorted; see :func:`scan_folder`.

    Args:
        root: The folder; one that does not exist holds nothing.
        suffixes: Suffixes of photographs, lower case; those of files may have any case.
        say: Told in one line what else the folder holds; by default it is printed, once.

    Raises:
        DatasetError: Photographs are links that lead nowhere.
        OSError: A folder cannot be read.
    """
    return photographs_in(scan_folder(root), root, suffixes, say)


def photographs_in(
    found: Listing,
    root: AnyPath,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    say: Callable[[str], object] | None = None,
) -> list[str]:
    """Return what :func:`list_photographs` does of a folder that is listed already.

    Raises:
        DatasetError: Photographs are links that lead nowhere.
    """
    taken = tuple(suffixes)
    lost = [n for n in found.broken if n.lower().endswith(taken) or not os.path.splitext(n)[1]]
    if lost:
        raise DatasetError(
            f'{root}: {len(lost)} links lead nowhere, first {", ".join(lost[:5])}: bring back what '
            'they point to (with DVC or git-annex: get the files), or remove them'
        )
    names = [name for name in found.files if name.lower().endswith(taken)]
    left = _left_out(found, taken)
    if left:
        (say or say_once)(f'{root}: {len(names):,} photographs; not taken: {left}')
    return names


def _left_out(found: Listing, suffixes: tuple[str, ...]) -> str:
    others = [n for n in (*found.files, *found.broken) if not n.lower().endswith(suffixes)]
    counts = Counter(os.path.splitext(name)[1].lower() or 'without suffix' for name in others)
    parts = [f'{count:,} {suffix}' for suffix, count in counts.most_common(8)]
    if len(counts) > 8:
        parts.append(f'{len(others) - sum(n for _, n in counts.most_common(8)):,} others')
    if found.hidden:
        parts.append(f'{len(found.hidden):,} hidden or of a system (first {found.hidden[0]})')
    if found.again:
        parts.append(f'{len(found.again):,} links to folders met already (first {found.again[0]})')
    return ', '.join(parts)


@cache
def say_once(line: str) -> None:
    """Print a line to stderr, in the first process alone, unless it was printed before."""
    if int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0))) == 0:
        print(line, file=sys.stderr, flush=True)


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
            folders[folder] = _present(folder or '.')
        if name not in folders[folder]:
            missing.append(path)
    return missing


def spelt_otherwise(gone: Sequence[AnyPath]) -> str:
    """Say which file the first of some missing ones may be, '' where no other comes near.

    Found are other cases, suffixes and Unicode forms, backslashes of Windows and escapes of
    addresses (%20).
    """
    wanted = os.fspath(gone[0])
    path, start = wanted.replace('\\', '/'), '/' if wanted.startswith('/') else '.'
    if os.path.exists(wanted):
        return ''
    if not os.path.exists(path):
        path = unquote(path)
    found = start
    for part in filter(None, os.path.normpath(path).split('/')):
        if not os.path.lexists(os.path.join(found, part)):
            names = os.listdir(found) if os.path.isdir(found) else []
            alike = [n for n in names if _plain(n) == _plain(part)]
            alike = alike or [n for n in names if _plain(n, True) == _plain(part, True)]
            if not alike:
                return ''
            part = min(alike)
        found = os.path.join(found, part)
    return f' (there is {os.path.normpath(found)!a}: spell both alike)'


def _plain(name: str, without_suffix: bool = False) -> str:
    """Return a name without what file systems and programs treat differently."""
    stem = os.path.splitext(name)[0] if without_suffix else name
    return unicodedata.normalize('NFC', stem).casefold()


def _present(folder: str) -> set[str]:
    """Return the names in a folder, without links that lead nowhere."""
    if not os.path.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {e.name for e in entries if not e.is_symlink() or os.path.exists(e.path)}
