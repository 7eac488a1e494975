"""Shards of an object store on a disk of this machine, each fetched once for all processes."""

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from mmc2fmae.datasets.bundle_folders import RemoteFolder, join_address
from mmc2fmae.errors import DatasetError, RunStopped
from mmc2fmae.files import file_sha256, require_room

FOLDER, GIB = 'MMC2FMAE_CACHE', 'MMC2FMAE_CACHE_GIB'


class Shard(NamedTuple):
    """A shard, as its bundle states it.

    Args:
        name: File in the folder of the bundle.
        bytes: Its size.
        sha256: SHA-256 of its content, hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


class ShardCache:
    """Fetches shards when they are first asked for, and checks them.

    Where ``MMC2FMAE_CACHE_GIB`` bounds it, shards that were opened longest ago make room for
    others. A process that has one open goes on reading it: the disk keeps it until it is closed.

    Args:
        remote: Folder of the shards.
        key: Name of the folder on this machine, different for different bundles.
        shards: All shards.

    Raises:
        DatasetError: The disk has no room, or belongs to another user.
        ValueError: A variable has no number.
    """

    def __init__(self, remote: RemoteFolder, key: str, shards: list[Shard]) -> None:
        self.remote = remote
        self.root = cache_root()
        self.folder = self.root / key
        self.most = most_bytes()
        self.folder.mkdir(parents=True, exist_ok=True)
        need = sum(s.bytes for s in shards if not Path(self.folder, s.name).exists())
        if self.most is not None:
            need = min(need, self.most - sum(size for _, size, _ in self._kept()))
        fix = f'set {FOLDER} to a folder of a larger disk, or {GIB} to what it may take'
        try:
            require_room(self.folder, need, f'shards of {remote.address}', fix)
        except OSError as error:
            raise DatasetError(str(error)) from error

    def open(self, shard: Shard) -> int:
        """Return a file descriptor of a shard.

        Raises:
            RunStopped: It cannot be fetched, or is not what the bundle states.
        """
        path = self.folder / shard.name
        while True:
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:  # not yet, or no longer
                self._fetch(shard, path)
            else:
                os.utime(path)
                return descriptor

    def _fetch(self, shard: Shard, path: Path) -> None:
        from filelock import FileLock  # here, as disks need none of it

        with FileLock(f'{path}.lock'):
            if path.exists():
                return
            self._make_room(shard.bytes)
            aside = Path(f'{path}.part')
            self.remote.fetch(shard.name, str(aside))
            found = file_sha256(aside)
            if found != shard.sha256:
                aside.unlink()
                raise RunStopped(
                    f'{join_address(self.remote.address, shard.name)} is damaged: SHA-256 '
                    f'{found}, expected {shard.sha256}; upload it again'
                )
            os.replace(aside, path)

    def _kept(self) -> list[tuple[float, int, Path]]:
        """Return time of last use, size and path of all shards on this machine, oldest first."""
        found = []
        for path in self.root.glob('*/*.tar'):
            try:
                state = path.stat()
            except FileNotFoundError:  # another process made room
                continue
            found.append((state.st_mtime, state.st_size, path))
        return sorted(found)

    def _make_room(self, size: int) -> None:
        if self.most is None:
            return
        kept = self._kept()
        total = size + sum(one for _, one, _ in kept)
        for _, one, path in kept:
            if total <= self.most:
                return
            path.unlink(missing_ok=True)
            total -= one


def cache_root() -> Path:
    """Return where shards are kept: ``MMC2FMAE_CACHE``, or a folder among temporary files.

    Raises:
        DatasetError: Another user has made it.
    """
    if given := os.environ.get(FOLDER):
        return Path(given).expanduser()
    folder = Path(tempfile.gettempdir(), f'mmc2fmae-{os.getuid()}')
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise DatasetError(f'{folder} belongs to another user: set {FOLDER} to a folder of yours')
    return folder


def most_bytes() -> int | None:
    """Return the bytes that shards may take, None for as many as there are.

    Raises:
        ValueError: ``MMC2FMAE_CACHE_GIB`` is no number above 0.
    """
    text = os.environ.get(GIB)
    if not text:
        return None
    try:
        found = int(float(text) * 2**30)
    except (ValueError, OverflowError):
        found = 0
    if found <= 0:
        raise ValueError(f'{GIB} is {text!r}: expected a number of GiB above 0')
    return found
