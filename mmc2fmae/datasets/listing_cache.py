"""Large data sets start from the listing of the last time, as long as no folder has changed.

Listing 1.28 million photographs and their maps takes a minute, more on a network disk. What was
found, once all checks had passed, is kept in the user's cache folder with the times of every
folder below. A file that is added, removed or renamed changes the times of its folder, so the next
start asks for those alone. Where times do not tell (links to files, object stores mounted by FUSE,
folders changed just now) nothing is kept.
"""

import hashlib
import json
import os
import socket
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmc2fmae.datasets.sample_tables import Names, SampleTable
from mmc2fmae.files import (
    Listing,
    atomic_file,
    changed_at,
    say_once,
    scan_folder,
)

WORTH = 20_000
"""Smaller sets are listed in no time."""

SETTLED = 10 * 10**9
"""Nanoseconds for which no folder may have changed: coarse clocks would hide what comes after."""

_FORMAT = 1  # to be raised where the same folders are listed in another way

Say = Callable[[str], object]


class FolderScanner:
    """Lists folders and remembers in what state they were."""

    def __init__(self) -> None:
        self.started = time.time_ns()
        self.times: list[tuple[str, int, int]] = []
        self.telling = True

    def __call__(self, folder: str) -> Listing:
        """List a folder; see :func:`mmc2fmae.files.scan_folder`."""
        found = scan_folder(folder)
        place = os.path.realpath(folder)
        self.times += [(os.path.join(place, name), a, b) for name, a, b in found.times]
        # What a link to a file leads to comes and goes without a trace in the link's folder.
        self.telling &= not (found.links or found.broken)
        return found

    @property
    def settled(self) -> bool:
        """Whether a later change of what was listed will show in the folders' times."""
        settled = self.started - SETTLED
        return (
            self.telling
            and all(0 < changed < settled for _, *times in self.times for changed in times)
            and not _any_on_fuse(folder for folder, *_ in self.times)
        )


def cached_listing(
    options: Mapping[str, Any],
    make: Callable[[FolderScanner, Say], SampleTable],
    say: Say,
) -> SampleTable:
    """Return the samples of a data set, from the last time where no folder has changed since.

    Args:
        options: All that the samples depend on besides the folders' content, of JSON types; folders
            by their real paths.
        make: Lists folders with the scanner that it is given, and says what it has to say.
        say: Told in lines what ``make`` says, also where that was the last time.
    """
    folder = _cache_folder()
    if folder is None:
        return make(FolderScanner(), say)
    wanted = hashlib.sha256(json.dumps([_FORMAT, options], sort_keys=True).encode()).hexdigest()
    path = folder / f'{wanted[:32]}.listing'
    table = _read(path, wanted, say)
    if table is not None:
        return table
    scanner = FolderScanner()
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        say(line)

    table = make(scanner, tell)
    if len(table) >= WORTH and scanner.settled and _is_first_of_its_machine():
        try:
            _write(path, wanted, table, scanner, said)
        except OSError as error:
            say(f'the listing cannot be kept for the next start ({error})')
    return table


def _is_first_of_its_machine() -> bool:
    return int(os.environ.get('LOCAL_RANK', os.environ.get('SLURM_LOCALID', 0))) == 0


def _cache_folder() -> Path | None:
    """Return where listings are kept; None for a user without a home, as in some containers."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return None if base.startswith('~') else Path(base, 'mmc2fmae/listings')


def _write(
    path: Path, wanted: str, table: SampleTable, scanner: FolderScanner, said: list[str]
) -> None:
    labels = b'' if table.labels is None else table.labels.astype('<i4').tobytes()
    names = table.names.block.tobytes()
    head = dict(
        wanted=wanted,
        samples=len(table),
        labelled=table.labels is not None,
        crc=zlib.crc32(names, zlib.crc32(labels)),
        said=said,
        times=scanner.times,
    )
    # By a name of its own, as other machines may write to the same home folder.
    aside = path.with_suffix(f'.{socket.gethostname()}.{os.getpid()}')
    with atomic_file(aside) as file:
        file.write(json.dumps(head).encode() + b'\n' + labels + names)
    os.replace(aside, path)


def _read(path: Path, wanted: str, say: Say) -> SampleTable | None:
    """Return what was found the last time; None where there is nothing or a folder has changed."""
    try:
        with open(path, 'rb') as file:
            head, body = json.loads(file.readline()), file.read()
        if head['wanted'] != wanted or _has_changed(head['times']):
            return None
        split = 4 * head['samples'] * head['labelled']
        labels = np.frombuffer(body[:split], '<i4').astype(np.int32) if split else None
        table = SampleTable(Names(np.frombuffer(body, np.uint8, offset=split)), labels)
        whole = zlib.crc32(body) == head['crc'] and len(table) == head['samples']
        said = [str(line) for line in head['said']]
    except OSError:  # none, or none that may be read
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        say_once(f'{path} is damaged: the folders are listed anew')
        return None
    print_log(f'{path}: {len(table):,} samples as listed before, no folder has changed', 'current')
    for line in said:
        say(line)
    return table


def _has_changed(times: list[tuple[str, int, int]]) -> bool:
    try:
        return not times or any(changed_at(folder) != (a, b) for folder, a, b in times)
    except OSError:
        return True


def _any_on_fuse(folders: Iterable[str]) -> bool:
    """Whether a folder lies on a disk that a program shows, whose folders may keep no times."""
    try:
        with open('/proc/self/mounts', encoding='utf-8', errors='surrogateescape') as file:
            mounts = [line.split()[1:3] for line in file]
    except OSError:  # no Linux
        return False
    shown = [p.replace(r'\040', ' ') for p, kind in mounts if kind.split('.')[0] == 'fuse']
    return any(
        Path(place).is_relative_to(mount)
        for place in (map(os.path.realpath, folders) if shown else ())
        for mount in shown
    )
