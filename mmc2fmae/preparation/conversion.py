"""Write the maps of a dataset that somebody has labelled into the layout of this project."""

import os
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from mmc2fmae.datasets.photograph_lists import require_unique_stems
from mmc2fmae.errors import DatasetError, SampleError, first_names
from mmc2fmae.files import (
    AnyPath,
    existing_folder,
    list_files,
    list_photographs,
    require_room,
    write_atomically,
)
from mmc2fmae.images.orientation import stored_size
from mmc2fmae.parallel import in_chunks
from mmc2fmae.preflight.orientation import FIX, undecided
from mmc2fmae.preparation.layout import (
    GRANULARITIES,
    claim_labels,
    coco_panoptic_classes,
    link_photographs,
    map_path,
    read_label_info,
    write_map,
)

MAP_BYTES = 8192
"""What a map takes on disk at most, in blocks, for ordinary photographs (docs/benchmarks.md)."""

CONFIG = 'configs/pretrain/c2fmae_own_maps.py'


class Labelled(NamedTuple):
    """A photograph and where its labels are.

    Args:
        name: Path of the photograph relative to its folder.
        files: Label files that it is read from.
        details: What else the reader needs; can be pickled.
    """

    name: str
    files: tuple[str, ...]
    details: Any = None


class Conversion(NamedTuple):
    """What there is to convert; made by :mod:`mmc2fmae.preparation.converters`.

    Args:
        images: Folder of the photographs.
        items: The labelled photographs.
        classes: Names of the semantic ids from 0.
        granularities: Granularities that there are labels for.
        source: What the labels are and how they are read, JSON types, for ``labels.json``.
        read: Returns the (h, w) ids of each granularity of an item; can be pickled.
    """

    images: str
    items: Sequence[Labelled]
    classes: tuple[str, ...]
    granularities: tuple[str, ...]
    source: dict
    read: Callable[[Labelled], dict[str, np.ndarray]]


class Converted(NamedTuple):
    """What a conversion did.

    Args:
        photographs: Labelled photographs.
        kept: Those of them whose maps were there already.
        ann_file: Path of the list of the labelled photographs, where others have no labels.
    """

    photographs: int
    kept: int
    ann_file: str | None


def convert(
    conversion: Conversion,
    root: AnyPath,
    split: str = 'train',
    workers: int | None = None,
    quiet: bool = False,
) -> Converted:
    """Write ``ROOT/<split>`` (a link), its maps, ``labels.json`` and, if need be, a list.

    Maps that are newer than what they are made of are kept, so an interrupted run goes on, and
    labels that were corrected are converted again. The list ``ROOT/<split>.txt`` of the labelled
    photographs is written where there are others.

    Args:
        conversion: What to convert.
        root: Folder of the dataset.
        split: Name of the photographs' folder there.
        workers: Processes; by default one a core.
        quiet: Show no progress bar.

    Raises:
        DatasetError: The output holds something else, there is no room, or labels cannot be used;
            in the last case all others are converted.
    """
    root = Path(root)
    _check_names(conversion, split)
    _check_folders(conversion, root, split)
    there = sum(len(list_files(root / g / split)) for g in conversion.granularities)
    check_room(root, len(conversion.items) * len(conversion.granularities) - there)
    _claim(conversion, root, split)
    link_photographs(conversion.images, root, split)
    kept, problems = 0, []
    write = partial(
        _write_maps,
        read=conversion.read,
        images=conversion.images,
        granularities=conversion.granularities,
        root=root,
        split=split,
    )
    for part_kept, part_problems in in_chunks(write, conversion.items, workers, quiet=quiet):
        kept += part_kept
        problems += part_problems
    if problems:
        raise DatasetError(
            f'{len(problems)} of {len(conversion.items)} photographs have labels that cannot be '
            f'used; correct them and start again, all others are done: {first_names(problems)}'
        )
    ann_file = None
    names = sorted(item.name for item in conversion.items)
    if names != list_photographs(conversion.images):
        ann_file = str(root / f'{split}.txt')
        write_atomically('\n'.join([*names, '']).encode(), ann_file)
    return Converted(len(names), kept, ann_file)


def check_room(root: AnyPath, maps: int) -> None:
    """Check that a disk has room for label maps.

    Args:
        root: Folder to write to; need not exist.
        maps: Number of maps.

    Raises:
        DatasetError: There are too few bytes or too few inodes.
    """
    fix = 'free some, or choose a folder on another disk'
    try:
        require_room(root, maps * MAP_BYTES, f'{maps:,} maps', fix)
    except OSError as error:
        raise DatasetError(str(error)) from error
    disk = os.statvfs(existing_folder(root))
    if disk.f_files and disk.f_favail < maps:  # some file systems count no inodes
        raise DatasetError(
            f'{root} can hold {disk.f_favail:,} more files, expected {maps:,}: {fix}'
        )


def _check_names(conversion: Conversion, split: str) -> None:
    names = [item.name for item in conversion.items]
    if not names:
        raise DatasetError('no photograph has labels')
    if not split or Path(split).name != split or split[0] == '.' or split in GRANULARITIES:
        raise DatasetError(f"split is {split!r}: expected a folder's name such as train or val")
    for name in names:  # may come from a file that is not to be trusted
        path = PurePosixPath(name)
        if path.is_absolute() or '..' in path.parts:
            raise DatasetError(f'photograph {name!r} is not inside the folder of the photographs')
    require_unique_stems(conversion.images, names)


def _check_folders(conversion: Conversion, root: Path, split: str) -> None:
    """Check that no link leads in a circle and no map replaces the labels that it is made of."""
    images = Path(conversion.images).resolve()
    if images in (root.resolve(), *root.resolve().parents):
        raise DatasetError(
            f'{root} is inside the folder of the photographs, {images}: choose another output'
        )
    targets = [Path(root, g, split).resolve() for g in GRANULARITIES]
    sources = {Path(file).parent.resolve() for item in conversion.items for file in item.files}
    for source in sources:
        if any(target == source or target in source.parents for target in targets):
            raise DatasetError(
                f'the maps would replace the labels in {source}: choose another output folder'
            )


def _claim(conversion: Conversion, root: Path, split: str) -> None:
    """Write ``labels.json``, or check that its maps are of the same kind."""
    info = read_label_info(root)
    if info is None or split not in info.source.get('splits', {}):
        there = [g for g in GRANULARITIES if Path(root, g, split).exists()]
        if there:
            raise DatasetError(
                f'{Path(root, there[0], split)} exists and no conversion has made it: choose '
                'another output folder or split'
            )
    claim_labels(root, split, conversion.classes, conversion.source, len(conversion.items))


def _write_maps(
    items: Sequence[Labelled],
    read: Callable[[Labelled], dict[str, np.ndarray]],
    images: str,
    granularities: Sequence[str],
    root: Path,
    split: str,
) -> tuple[int, list[str]]:
    """Write the maps of some photographs; return how many were there and what is wrong."""
    kept, problems = 0, []
    for item in items:
        targets = [map_path(root, g, split, item.name) for g in granularities]
        try:
            if _up_to_date(targets, item.files):
                kept += 1
                continue
            maps = read(item)
            _check_size(Path(images, item.name), item.files, maps)
        except (DatasetError, SampleError) as error:
            problems.append(str(error))
            continue
        for granularity, target in zip(granularities, targets, strict=True):
            write_map(target, maps[granularity])
    return kept, problems


def _up_to_date(targets: Sequence[Path], files: Sequence[str]) -> bool:
    if not all(target.exists() for target in targets):
        return False
    return min(t.stat().st_mtime_ns for t in targets) > max(os.stat(f).st_mtime_ns for f in files)


def _check_size(photo: Path, files: Sequence[str], maps: dict[str, np.ndarray]) -> None:
    """Check that maps have the size in which the photograph is stored, which training reads."""
    width, height, orientation = header = stored_size(photo)
    if undecided(header):
        raise DatasetError(
            f'{photo} has EXIF orientation {orientation}, which turns it at the same size, so that '
            f'nothing tells whether the labels fit the turned or the stored picture: {FIX}'
        )
    for labels in maps.values():
        if labels.shape == (height, width):
            continue
        hint = ''
        if orientation >= 5 and labels.shape == (width, height):
            hint = '; EXIF data turn it by a quarter, pre-training does not: save it turned'
        raise DatasetError(
            f'{", ".join(files)}: labels of {labels.shape[1]} x {labels.shape[0]} pixels, the '
            f'photograph {photo} has {width} x {height}{hint}'
        )


def training_command(
    conversion: Conversion, root: AnyPath, split: str, ann_file: str | None = None
) -> str:
    """Return the command line that pre-trains a small model on a converted dataset.

    Args:
        conversion: What was converted.
        root: Folder of the dataset.
        split: Name of the photographs' folder there.
        ann_file: List of the photographs to use; all by default.
    """
    data, number = 'train_dataloader.dataset', len(conversion.classes)
    options: list[str] = []
    if split != 'train':
        folders = dict(rgb=split) | {g: f'{g}/{split}' for g in conversion.granularities}
        options += [f'{data}.data_prefix.{g}={folder}' for g, folder in folders.items()]
    if ann_file:
        options.append(f'{data}.ann_file={Path(ann_file).name}')
    words = ['python', 'tools/train.py', CONFIG, '--data-root', str(root)]
    if number != len(coco_panoptic_classes()):
        words += ['--classes', 'auto']  # from labels.json, which the conversion writes
    return shlex.join([*words, *(['--cfg-options', *options] if options else [])])
