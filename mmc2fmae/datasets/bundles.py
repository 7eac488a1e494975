"""Bundles: photographs and maps in tar shards, read sample by sample from their places.

The folder of a bundle holds ``000000.tar``, ``000001.tar``, ... in the form of WebDataset,
``samples.npz`` with the names of the photographs and where each file lies, and ``bundle.json`` with
sizes and checksums of these, written last. Shards hold the very bytes of the files.
"""

import hashlib
import io
import json
import os
import posixpath
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from mmc2fmae.bundled_files import BundledFile
from mmc2fmae.datasets.bundle_folders import (
    LocalFolder,
    RemoteFolder,
    is_remote,
    join_address,
    open_folder,
)
from mmc2fmae.datasets.sample_tables import Names
from mmc2fmae.datasets.shard_cache import Shard, ShardCache
from mmc2fmae.errors import DatasetError, first_names, shown
from mmc2fmae.state_files import difference

INDEX, TABLE, PROGRESS = 'bundle.json', 'samples.npz', '.progress'
FORMAT, VERSION = 'mmc2fmae bundle', 1

_SHAPE = dict(
    photographs=int,
    folders={'*': str},
    table=dict(bytes=int, sha256=str),
    shards=[dict(bytes=int, sha256=str)],
)
_TYPES = dict(names='uint8', shards='uint32', offsets='uint64', sizes='uint32')
_OPEN = 64  # shards that a process keeps open


def shard_name(number: int) -> str:
    """Return the file of a shard."""
    return f'{number:06}.tar'


def member_name(granularity: str, photograph: str, suffix: str) -> str:
    """Return what a file is called in its shard: that of a photograph, or of one of its maps."""
    if granularity == 'rgb':
        return photograph
    return f'{os.path.splitext(photograph)[0]}.{granularity}{suffix}'


class Bundle:
    """Photographs and maps of one folder of a data set.

    Args:
        address: Path or address of the bundle.
        folders: Folder of 'rgb' and of each other granularity in the data set that was bundled.
        suffix: Suffix of the maps.
        table: ``names`` of the photographs, (N,) ``shards`` that they lie in, (N, G) ``offsets``
            and ``sizes`` of the file of each granularity.
        shards: All shards.
        open_shard: Returns a file descriptor of a shard.
        most_open: Shards that a process keeps open.

    Attributes:
        names: Paths of the photographs, in the order of the data set.
        shard_of: (N,) number of the shard of each.
    """

    def __init__(
        self,
        address: str,
        folders: Mapping[str, str],
        suffix: str,
        table: Mapping[str, np.ndarray],
        shards: list[Shard],
        open_shard: Callable[[Shard], int],
        most_open: int,
    ) -> None:
        self.address = address
        self.folders = dict(folders)
        self.suffix = suffix
        self.names = Names(table['names'])
        self.shard_of = table['shards']
        self.shards = shards
        self._places, self._sizes = table['offsets'], table['sizes']
        self._columns = {granularity: column for column, granularity in enumerate(folders)}
        # Threads share the open shards, and one that is put away is closed by its last user.
        self._open = lru_cache(most_open)(lambda n: _Descriptor(open_shard(shards[n])))

    def __reduce__(self) -> tuple[Any, ...]:
        return find_bundle, (self.address,)  # descriptors and locks belong to one process

    def files(self, record: int, granularities: Iterable[str]) -> dict[str, BundledFile]:
        """Return the files of a photograph.

        Args:
            record: Its number in ``names``.
            granularities: Which files.
        """
        name = self.names[record]
        shard = join_address(self.address, shard_name(self.shard_of[record]))
        found = {}
        for granularity in granularities:
            column = self._columns[granularity]
            found[granularity] = BundledFile.of(
                f'{shard}/{member_name(granularity, name, self.suffix)}',
                int(self._sizes[record, column]),
                partial(self._read, record, column),
            )
        return found

    def _read(self, record: int, column: int) -> bytes:
        number, size = int(self.shard_of[record]), int(self._sizes[record, column])
        place = int(self._places[record, column])
        shard = self._open(number)  # held while it is read: another thread may put it away
        data = os.pread(shard.number, size, place)
        if len(data) < size:
            raise OSError(
                f'{shard_name(number)} ends {size - len(data):,} bytes before the end of this file'
            )
        return data

    def require(self, folders: Mapping[str, str]) -> None:
        """Check that the bundle has what a data set asks for.

        Args:
            folders: Folder of each granularity, as addresses or relative to one folder.

        Raises:
            DatasetError: A granularity is absent, or was bundled from another folder.
        """
        for granularity, folder in folders.items():
            if granularity not in self.folders:
                raise DatasetError(
                    f'{self.address} is a bundle of {", ".join(self.folders)}, the config reads '
                    f'{granularity}, too: bundle it from a folder with these maps, or leave it out '
                    'of data_prefix'
                )
            own = self.folders[granularity]
            if _seen_from(folders['rgb'], folder) != _seen_from(self.folders['rgb'], own):
                raise DatasetError(
                    f'{self.address} is a bundle of the {granularity} folder {own!r} (photographs: '
                    f'{self.folders["rgb"]!r}), the config asks for {folder}: set '
                    f'data_prefix.{granularity} to the former, or bundle the latter'
                )

    def sha256(self, number: int) -> str:
        """Return the SHA-256 of a shard's content; one of an object store is fetched for it."""
        descriptor, digest, place = self._open(number), hashlib.sha256(), 0
        while part := os.pread(descriptor.number, 2**22, place):
            digest.update(part)
            place += len(part)
        return digest.hexdigest()


class _Descriptor:
    """A file descriptor that is closed with the last reference to it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


def _seen_from(start: str, path: str) -> str:
    return posixpath.relpath(path or '.', start or '.')


def holds_bundle(root: str, dataset: Mapping[str, Any]) -> bool:
    """Whether a data root is an object store, or has a bundle where a data set looks for files.

    Args:
        root: The data root.
        dataset: Config of the data set, of any type.
    """
    prefix = dataset.get('data_prefix') or {}
    named = prefix.values() if isinstance(prefix, Mapping) else [prefix]
    folders = ('', dataset.get('folder', 'train'), *filter(None, named))
    return is_remote(root) or any(os.path.isfile(os.path.join(root, f, INDEX)) for f in folders)


def find_bundle(address: str) -> Bundle | None:
    """Return the bundle in a folder, checked but for what the shards hold.

    Args:
        address: Path or address of the folder.

    Returns:
        None where a folder on a disk is no bundle.

    Raises:
        DatasetError: An object store has none there, or the bundle is unfinished, of another
            version, cut short or damaged.
    """
    folder = open_folder(address)
    content = folder.read(INDEX)
    if content is not None:
        return _open_bundle(folder, content)
    if isinstance(folder, RemoteFolder):
        raise DatasetError(
            f'{join_address(address, INDEX)} does not exist: object stores are read as bundles, '
            'which `mmc2fmae bundle write` makes of a folder on a disk (docs/bundles.md)'
        )
    if os.path.isdir(os.path.join(address, PROGRESS)):
        raise DatasetError(
            f'{address} is a bundle that is not finished: start the same `mmc2fmae bundle write` '
            'again, it goes on'
        )
    return None


def _open_bundle(folder: LocalFolder | RemoteFolder, content: bytes) -> Bundle:
    index = _read_index(join_address(folder.address, INDEX), content)
    shards = [
        Shard(shard_name(number), entry['bytes'], entry['sha256'])
        for number, entry in enumerate(index['shards'])
    ]
    found = folder.sizes()
    wanted = {TABLE: index['table']['bytes']} | {s.name: s.bytes for s in shards}
    wrong = [
        f'{name} ({"missing" if name not in found else f"{found[name]:,} bytes"}, expected '
        f'{size:,})'
        for name, size in wanted.items()
        if found.get(name) != size
    ]
    if wrong:
        raise DatasetError(
            f'{folder.address}: {len(wrong):,} of {len(wanted):,} files are not as {INDEX} says, '
            f'first {first_names(wrong, 3)}: copy the bundle again, whole'
        )
    table = _read_table(folder, index, shards)
    if isinstance(folder, RemoteFolder):
        # A shard that made room for another takes its room until it is closed.
        open_shard, most_open = ShardCache(folder, _key(content), shards).open, 1
    else:
        open_shard, most_open = partial(_open_local, folder.address), _OPEN
    return Bundle(
        address=folder.address,
        folders=index['folders'],
        suffix=index['suffix'],
        table=table,
        shards=shards,
        open_shard=open_shard,
        most_open=most_open,
    )


def _key(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _open_local(address: str, shard: Shard) -> int:
    return os.open(os.path.join(address, shard.name), os.O_RDONLY)


def _read_index(path: str, content: bytes) -> dict[str, Any]:
    try:
        index = json.loads(content)
        kind, version = index['format'], index['version']
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            f'{path} is damaged ({type(error).__name__}: {error}): copy the bundle again'
        ) from error
    if kind != FORMAT or version != VERSION:
        raise DatasetError(
            f'{path} is a {shown(kind)} of version {shown(version)}, expected {FORMAT!r} of '
            f'version {VERSION}: read it with the mmc2fmae that wrote it, or bundle anew'
        )
    wrong = difference(index, _SHAPE | dict(suffix=str))
    if wrong or 'rgb' not in index['folders']:
        raise DatasetError(
            f'{path} is damaged ({wrong or "folders lack rgb"}): copy the bundle again'
        )
    return dict(index)


def _read_table(
    folder: LocalFolder | RemoteFolder, index: dict[str, Any], shards: list[Shard]
) -> dict[str, np.ndarray]:
    path, content = join_address(folder.address, TABLE), folder.read(TABLE) or b''
    reason = 'its SHA-256 differs' * (
        hashlib.sha256(content).hexdigest() != index['table']['sha256']
    )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            table = {name: file[name] for name in _TYPES}
        reason = reason or _misfit(table, index, shards)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = reason or f'{type(error).__name__}: {error}'
    if reason:
        raise DatasetError(f'{path} is damaged ({reason}): copy the bundle again, whole')
    return table


def _misfit(table: dict[str, np.ndarray], index: dict[str, Any], shards: list[Shard]) -> str:
    """Say where a table contradicts the index; '' where it does not."""
    number, parts = index['photographs'], len(index['folders'])
    shapes = dict(shards=(number,), offsets=(number, parts), sizes=(number, parts))
    for name, kind in _TYPES.items():
        if table[name].dtype != kind or table[name].shape != shapes.get(name, table[name].shape):
            return f'{name} are {table[name].dtype} {table[name].shape}'
    if np.count_nonzero(table['names'] == 0) != number or (table['shards'] >= len(shards)).any():
        return f'expected {number:,} photographs in {len(shards):,} shards'
    ends = np.array([shard.bytes for shard in shards], np.uint64)[table['shards']]
    if (table['offsets'] + table['sizes'] > ends[:, None]).any():
        return 'files lie beyond the end of their shard'
    return ''
