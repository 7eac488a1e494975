"""Packs: the maps of a dataset without its photographs, in shards with checksums."""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.files import (
    AnyPath,
    atomic_file,
    file_sha256,
    list_files,
    require_room,
    write_atomically,
)
from mmc2fmae.parallel import progress_bar
from mmc2fmae.preparation.conversion import check_room
from mmc2fmae.preparation.layout import GRANULARITIES, INFO_FILE, manifest_path, read_label_info
from mmc2fmae.preparation.shards import check_png, read_shard, shard_members
from mmc2fmae.state_files import read_state
from mmc2fmae.texts import read_lines

SUMS_FILE = 'SHA256SUMS'
README_FILE = 'README.txt'
PROGRESS_FILE = '.progress.json'

_README = """Label maps of {photographs:,} photographs ({splits}), without the photographs.

Format: instance/SPLIT/NAME.png holds instance ids (0 = background, 1 = the largest, ...),
semantic/SPLIT/NAME.png class ids (255 = unknown); NAME is that of the photograph. The names of
the {classes} classes and what made the maps are in {info}.

To check and unpack without further tools, beside the photographs in ROOT/SPLIT:

    sha256sum -c {sums} && for f in labels-*.tar; do tar -xf "$f" -C ROOT; done
    cp *.json* ROOT

With mmc2fmae: python tools/pack_labels.py unpack THIS_FOLDER ROOT
"""
_TAR_BLOCK = 512


class _Shard(NamedTuple):
    name: str  # of the tar file
    members: list[str]  # relative to the dataset's folder
    size: int  # of the members in the tar file, bytes


class _Split(NamedTuple):
    shards: list[_Shard]
    photographs: int
    fingerprint: str  # changes with the maps and the shards


def pack(
    root: AnyPath,
    out: AnyPath,
    splits: Sequence[str] = ('train',),
    shard_size: int = 512 * 2**20,
    quiet: bool = False,
) -> int:
    """Write a dataset's maps as tar files with checksums; equal maps give equal bytes.

    An interrupted call is continued by the same one: shards that are done and whole are kept.
    ``SHA256SUMS`` is written last, so its absence shows that a pack is not finished.

    Args:
        root: Folder of the dataset.
        out: Folder of the pack.
        splits: Folders of photographs whose maps are packed.
        shard_size: Most bytes of a shard, but for a photograph whose maps alone are more.
        quiet: Show no progress bar.

    Returns:
        Number of photographs.

    Raises:
        DatasetError: Maps are missing, are no single-channel PNGs, ``labels.json`` is missing, the
            disk has no room, or ``out`` holds a finished pack or anything else.
    """
    root, out = Path(root), Path(out)
    info = read_label_info(root)
    if info is None:
        raise DatasetError(f'{root / INFO_FILE} is missing: it says what the ids of the maps mean')
    parts = [_cut(root, split, shard_size) for split in splits]
    shards = [shard for part in parts for shard in part.shards]
    photographs = sum(part.photographs for part in parts)
    texts = {INFO_FILE: (root / INFO_FILE).read_bytes()}
    for path in (manifest_path(root, split) for split in splits):
        if path.exists():
            texts[path.name] = path.read_bytes()
    texts[README_FILE] = _README.format(
        photographs=photographs,
        splits=', '.join(splits),
        classes=len(info.semantic_classes),
        info=INFO_FILE,
        sums=SUMS_FILE,
    ).encode()
    fingerprint = ' '.join(part.fingerprint for part in parts)
    sums = _begin(out, fingerprint)
    try:
        left = sum(shard.size for shard in shards if shard.name not in sums)
        require_room(out, left, 'the pack', 'free some, or choose a folder on another disk')
    except OSError as error:
        raise DatasetError(str(error)) from error
    with progress_bar(sum(shard.size for shard in shards), 'B', quiet=quiet) as bar:
        for shard in shards:
            path = out / shard.name
            if shard.name in sums and path.exists() and file_sha256(path) == sums[shard.name]:
                bar.update(shard.size)
                continue
            sums[shard.name] = _write_shard(root, shard, path, bar)
            _remember(out, fingerprint, sums)
    for name, text in texts.items():
        write_atomically(text, out / name)
        sums[name] = hashlib.sha256(text).hexdigest()
    lines = [f'{code}  {name}\n' for name, code in sorted(sums.items())]
    write_atomically(''.join(lines).encode(), out / SUMS_FILE)
    (out / PROGRESS_FILE).unlink(missing_ok=True)
    return photographs


def verify(folder: AnyPath, quiet: bool = False) -> list[Path]:
    """Check a pack's files against ``SHA256SUMS``.

    Args:
        folder: Folder of the pack.
        quiet: Show no progress bar.

    Returns:
        The listed files.

    Raises:
        DatasetError: The list or files are missing, damaged or not listed; all of them are named.
    """
    folder = Path(folder)
    sums = _read_sums(folder)
    problems = [f'{folder / name} is missing' for name in sums if not (folder / name).is_file()]
    stray = {path.name for path in folder.glob('labels-*.tar')} - set(sums)
    problems += [f'{folder / name} is not listed in {SUMS_FILE}' for name in sorted(stray)]
    present = [folder / name for name in sums if (folder / name).is_file()]
    with progress_bar(sum(path.stat().st_size for path in present), 'B', quiet=quiet) as bar:
        for path in present:
            digest = file_sha256(path, on_read=bar.update)
            if digest != sums[path.name]:
                problems.append(f'{path} is damaged: SHA-256 {digest}, expected {sums[path.name]}')
    if problems:
        raise DatasetError(
            f'{len(problems)} files of the pack are not what they should be; fetch them again: '
            + first_names(problems, len(problems))
        )
    return present


def unpack(folder: AnyPath, root: AnyPath, quiet: bool = False) -> int:
    """Check a pack and write its maps beside the photographs; maps that are there are kept.

    Args:
        folder: Folder of the pack.
        root: Folder of the dataset.
        quiet: Show no progress bar.

    Returns:
        Number of maps in the pack.

    Raises:
        DatasetError: The pack is damaged, holds anything but label maps, or ``root`` has other
            maps.
    """
    folder, root = Path(folder), Path(root)
    files = verify(folder, quiet)
    shards = [path for path in files if path.suffix == '.tar']
    texts = [path for path in files if path.suffix in ('.json', '.jsonl')]
    total = 0  # before anything is written
    with progress_bar(len(shards), 'shard', quiet=quiet) as bar:
        for shard in shards:
            total += len(shard_members(shard))
            bar.update()
    check_room(root, total)
    if INFO_FILE not in (path.name for path in texts):
        raise DatasetError(f'{folder} has no {INFO_FILE}: it is no pack of label maps')
    for path in texts:
        there = root / path.name
        if there.exists() and there.read_bytes() != path.read_bytes():
            raise DatasetError(
                f'{there} is there already and differs from {path}: choose another folder, maps of '
                'two sources do not mix'
            )
    for path in texts:
        write_atomically(path.read_bytes(), root / path.name)
    with progress_bar(total, 'map', quiet=quiet) as bar:
        for shard in shards:
            for name, data in read_shard(shard):
                path = root / name
                if not path.exists():
                    write_atomically(data, path)
                elif path.read_bytes() != data:
                    raise DatasetError(
                        f'{path} is there already and differs from the map in {shard}: remove it '
                        'to take the one of the pack'
                    )
                bar.update()
    return total


def _cut(root: Path, split: str, shard_size: int) -> _Split:
    maps: dict[str, list[str]] = {}  # by photograph
    granularities = [g for g in GRANULARITIES if (root / g / split).is_dir()]
    for granularity in granularities:
        for name in list_files(root / granularity / split):
            if name.endswith('.png'):
                maps.setdefault(name, []).append(f'{granularity}/{split}/{name}')
    if not maps:
        raise DatasetError(f'{root} has no maps of {split!r} in instance/ or semantic/')
    partial = [name for name, members in maps.items() if len(members) < len(granularities)]
    if partial:
        raise DatasetError(
            f'{len(partial)} of {len(maps)} photographs have only some of their maps '
            f'({" and ".join(granularities)}), first {first_names(sorted(partial))}: finish the '
            'labelling, or remove them'
        )
    parts: list[list[str]] = []
    sizes: list[int] = []
    state = hashlib.sha256(f'{shard_size}\n'.encode())
    for name in sorted(maps):
        stats = [os.stat(root / member) for member in maps[name]]
        size = sum(2 * _TAR_BLOCK + s.st_size for s in stats)  # header, padding
        if not parts or sizes[-1] + size > shard_size:
            parts.append([])
            sizes.append(0)
        parts[-1] += maps[name]
        sizes[-1] += size
        state.update(repr([name, *((s.st_size, s.st_mtime_ns) for s in stats)]).encode())
    shards = [
        _Shard(f'labels-{split}-{i:06}-of-{len(parts):06}.tar', members, size)
        for i, (members, size) in enumerate(zip(parts, sizes, strict=True))
    ]
    return _Split(shards, len(maps), state.hexdigest())


def _begin(out: Path, fingerprint: str) -> dict[str, str]:
    """Return the checksums of the shards that an interrupted call has finished."""
    if (out / SUMS_FILE).exists():
        raise DatasetError(f'{out} holds a finished pack: verify it, or choose another folder')
    state = read_state(out / PROGRESS_FILE, dict(fingerprint=str, sums={'*': str}))
    if state is not None:
        if state['fingerprint'] != fingerprint:
            raise DatasetError(
                f'{out} holds an unfinished pack of other maps, splits or shards (or the maps have '
                'changed since): remove it, or choose another folder'
            )
        return dict(state['sums'])
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f'{out} is not empty: choose another folder')
    _remember(out, fingerprint, {})
    return {}


def _remember(out: Path, fingerprint: str, sums: dict[str, str]) -> None:
    state = dict(fingerprint=fingerprint, sums=sums)
    write_atomically(json.dumps(state).encode(), out / PROGRESS_FILE)


def _write_shard(root: Path, shard: _Shard, path: Path, bar: tqdm) -> str:
    """Write a tar file and return its SHA-256."""
    with (
        atomic_file(path) as file,
        tarfile.open(fileobj=file, mode='w', format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in shard.members:
            data = (root / name).read_bytes()
            check_png(data, root / name)
            member = tarfile.TarInfo(name)  # no owner, time 0: equal maps, equal bytes
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            bar.update(2 * _TAR_BLOCK + len(data))
    return file_sha256(path)


def _read_sums(folder: Path) -> dict[str, str]:
    path = folder / SUMS_FILE
    if not path.is_file():
        raise DatasetError(
            f'{path} does not exist: this is no pack, or it is not finished (the file is written '
            'last; start the same pack command again)'
        )
    lines = read_lines(path)
    matches = [re.fullmatch(r'([0-9a-f]{64}) [ *](\w[\w.-]*)', line) for line in lines]
    sums = {match[2]: match[1] for match in matches if match}
    if not lines or len(sums) < len(lines):
        raise DatasetError(f'{path} is damaged: expected lines of a SHA-256 and a file name, once')
    return sums
