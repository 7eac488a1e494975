"""Write bundles: photographs and maps of a data set in tar shards (mmc2fmae.datasets.bundles)."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmc2fmae.datasets.bundles import (
    FORMAT,
    INDEX,
    PROGRESS,
    TABLE,
    VERSION,
    Bundle,
    find_bundle,
    member_name,
    shard_name,
)
from mmc2fmae.datasets.label_info import INFO_FILE
from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.datasets.sample_tables import Names
from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.files import atomic_file, evenly, require_room, say_once, write_atomically
from mmc2fmae.parallel import in_chunks, in_threads
from mmc2fmae.preflight.orientation import check_maps
from mmc2fmae.preflight.photographs import (
    MOST,
    dark_photographs,
    photographs_of,
    require_readable,
)
from mmc2fmae.preparation.folders import Layout
from mmc2fmae.state_files import read_state

_PLAN = 'plan.json'
_DONE = dict(stamp=str, bytes=int, sha256=str, offsets=[[int]], sizes=[[int]])
_TRIED = 1000  # photographs whose size tells that of all


def write_bundle(
    layout: Layout,
    out: Path,
    ann_file: str = '',
    per_shard: int = 1000,
    workers: int | None = None,
    quiet: bool = False,
) -> Path:
    """Write a bundle into ``OUT/<folder of the photographs>``, and copy ``labels.json`` to ``OUT``.

    Equal files give equal shards. An interrupted call is continued by the same one, which keeps the
    shards that are whole and whose files have not changed since. Photographs are dealt out to the
    shards at random, so that a few shards are a fair sample; the bundle lists them in the order of
    the data set.

    Args:
        layout: Where photographs and maps lie.
        out: What is to be the data root.
        ann_file: Photographs to bundle, all by default; as in training.
        per_shard: Photographs a shard.
        workers: Processes; by default one a core.
        quiet: Show no bar.

    Returns:
        Folder of the bundle.

    Raises:
        DatasetError: Photographs, maps or the disk do not do, or the folder to write to holds a
            finished bundle or anything else.
        FileNotFoundError: Folders or maps are missing.
    """
    for granularity, path in layout.folders.items():
        if os.path.isabs(path) or '..' in Path(path).parts:
            raise DatasetError(
                f'the {granularity} folder is {path}: expected one below {layout.root}, which the '
                'bundle stands for'
            )
    source = MultiGranularDataset(
        layout.root, layout.folders, ann_file=ann_file, label_suffix=layout.suffix, pipeline=[]
    )
    if source.bundle is not None:
        raise DatasetError(f'{source.bundle.address} is a bundle already: copy it')
    _check(source)
    names = list(dict.fromkeys(source.data_list.names))
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(names))
    folder = Path(out, layout.folders['rgb'])
    plan = _plan(layout, [names[i] for i in order], per_shard)
    _begin(folder, plan)
    _copy_info(layout.root, out)
    _require_room(folder, layout, names)
    items = [(place, names[i]) for place, i in enumerate(order)]
    write = partial(_write_shard, layout=layout, folder=folder, per_shard=per_shard)
    shards = in_chunks(write, items, workers, 'photograph', quiet, per_shard)
    done = [_compact(shard) for shard in shards]
    _finish(folder, plan, names, order, done)
    return folder


def _check(source: MultiGranularDataset) -> None:
    """Look at photographs and maps as a run does before it starts, which leaves it out then."""
    check_maps(source)
    if len(source) <= MOST:
        require_readable(photographs_of(source), ', or list the others: --ann-file')
    if note := dark_photographs(photographs_of(source, 32)):
        say_once(note)


def verify_bundle(address: str, quiet: bool = False) -> Bundle:
    """Compare every shard of a bundle with its checksum.

    Args:
        address: Path of the bundle, or its address: then all shards are fetched.
        quiet: Show no bar.

    Raises:
        DatasetError: It is no bundle, or shards are damaged; all of them are named.
    """
    bundle = find_bundle(address)
    if bundle is None:
        raise DatasetError(f'{address} is no bundle: expected a folder with {INDEX}')
    numbers = range(len(bundle.shards))
    found = in_threads(bundle.sha256, numbers, 'shard', quiet)
    wrong = [
        f'{shard.name} (SHA-256 {digest}, expected {shard.sha256})'
        for shard, digest in zip(bundle.shards, found, strict=True)
        if digest != shard.sha256
    ]
    if wrong:
        raise DatasetError(
            f'{address}: {len(wrong):,} of {len(numbers):,} shards are damaged: '
            f'{first_names(wrong, len(wrong))}; copy them again'
        )
    return bundle


def _plan(layout: Layout, names: Sequence[str], per_shard: int) -> dict[str, Any]:
    listed = hashlib.sha256(b'\0'.join(map(os.fsencode, names))).hexdigest()
    folders = {granularity: os.path.normpath(path) for granularity, path in layout.folders.items()}
    return dict(
        version=VERSION,
        folders=folders,
        suffix=layout.suffix,
        photographs=len(names),
        per_shard=per_shard,
        names=listed,
    )


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Make sure that the folder is empty, or holds what an interrupted call has left."""
    if (folder / INDEX).exists():
        raise DatasetError(
            f'{folder} holds a finished bundle: `mmc2fmae bundle verify` checks it; choose another '
            'folder, or remove it'
        )
    found = read_state(folder / PROGRESS / _PLAN, dict(version=int))
    if found is None:
        if folder.exists() and any(entry.name != PROGRESS for entry in folder.iterdir()):
            raise DatasetError(f'{folder} is not empty: choose another folder')
        write_atomically(json.dumps(plan).encode(), folder / PROGRESS / _PLAN)
    elif found != plan:
        changed = [name for name in plan if found.get(name) != plan[name]]
        raise DatasetError(
            f'{folder} holds an unfinished bundle of something else ({", ".join(changed)} differ): '
            'remove it, or choose another folder'
        )


def _copy_info(root: str, out: Path) -> None:
    source, target = Path(root, INFO_FILE), Path(out, INFO_FILE)
    if not source.exists():
        return
    content = source.read_bytes()
    if target.exists() and target.read_bytes() != content:
        raise DatasetError(
            f'{target} differs from {source}: the classes of one data root are the same, choose '
            'another folder'
        )
    write_atomically(content, target)


def _require_room(folder: Path, layout: Layout, names: Sequence[str]) -> None:
    """Check the disk, by the sizes of some photographs and their maps."""
    some = evenly(names, _TRIED)
    sizes = [
        1024 + os.stat(layout.path(granularity, name)).st_size
        for name in some
        for granularity in layout.folders
    ]
    written = sum(path.stat().st_size for path in folder.glob('*.tar'))
    need = sum(sizes) * len(names) // len(some) - written
    try:
        require_room(folder, need, 'the bundle', 'free some, or choose a folder on another disk')
    except OSError as error:
        raise DatasetError(str(error)) from error


class _Hashed:
    """A file to write to, whose checksum is known at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.file.tell()


def _write_shard(
    items: Sequence[tuple[int, str]], layout: Layout, folder: Path, per_shard: int
) -> dict[str, Any]:
    """Write the shard of some photographs, unless it is there; return where their files lie."""
    number = items[0][0] // per_shard
    path, record = folder / shard_name(number), folder / PROGRESS / f'{number:06}.json'
    names = [name for _, name in items]
    stamp = _stamp(layout, names)
    done = read_state(record, _DONE)
    if done and done['stamp'] == stamp and path.exists() and path.stat().st_size == done['bytes']:
        return done
    offsets, sizes = [], []
    with atomic_file(path) as file:
        hashed: Any = _Hashed(file)
        with tarfile.open(fileobj=hashed, mode='w', format=tarfile.PAX_FORMAT) as archive:
            for name in names:
                places = [
                    _add(archive, layout, granularity, name) for granularity in layout.folders
                ]
                offsets.append([offset for offset, _ in places])
                sizes.append([size for _, size in places])
        written = file.tell()
    done = dict(
        stamp=stamp,
        bytes=written,
        sha256=hashed.digest.hexdigest(),
        offsets=offsets,
        sizes=sizes,
    )
    write_atomically(json.dumps(done).encode(), record)
    return done


def _compact(done: dict[str, Any]) -> dict[str, Any]:
    """Put the places of a shard's files into arrays: as lists, those of millions are a gigabyte."""
    offsets, sizes = np.array(done['offsets'], np.uint64), np.array(done['sizes'], np.uint32)
    return done | dict(offsets=offsets, sizes=sizes)


def _stamp(layout: Layout, names: Sequence[str]) -> str:
    """Return what changes with the files of a shard."""
    state = hashlib.sha256()
    for name in names:
        stats = [os.stat(layout.path(granularity, name)) for granularity in layout.folders]
        state.update(repr([name, *((s.st_size, s.st_mtime_ns) for s in stats)]).encode())
    return state.hexdigest()


def _add(archive: tarfile.TarFile, layout: Layout, granularity: str, name: str) -> tuple[int, int]:
    """Add a file to a shard; return where its bytes begin and how many there are."""
    data = layout.path(granularity, name).read_bytes()
    member = tarfile.TarInfo(member_name(granularity, name, layout.suffix))
    member.size = len(data)  # no owner, time 0: equal files, equal shards
    archive.addfile(member, io.BytesIO(data))
    padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return archive.fileobj.tell() - padded, len(data)


def _finish(
    folder: Path,
    plan: dict[str, Any],
    names: Sequence[str],
    order: np.ndarray,
    done: Sequence[dict[str, Any]],
) -> None:
    """Write the table and, last of all, the index."""
    place = np.argsort(order)  # of each photograph in the shards
    table = io.BytesIO()
    np.savez_compressed(
        table,
        names=Names.of(names).block,
        shards=(place // plan['per_shard']).astype(np.uint32),
        offsets=np.concatenate([one['offsets'] for one in done])[place],
        sizes=np.concatenate([one['sizes'] for one in done])[place],
    )
    content = table.getvalue()
    write_atomically(content, folder / TABLE)
    index = dict(
        format=FORMAT,
        version=VERSION,
        photographs=len(names),
        folders=plan['folders'],
        suffix=plan['suffix'],
        table=dict(bytes=len(content), sha256=hashlib.sha256(content).hexdigest()),
        shards=[dict(bytes=one['bytes'], sha256=one['sha256']) for one in done],
    )
    write_atomically(json.dumps(index, indent=1).encode(), folder / INDEX)
    shutil.rmtree(folder / PROGRESS)
