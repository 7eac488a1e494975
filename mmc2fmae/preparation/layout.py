"""The layout of a multi-granular dataset on disk, for whatever writes or inspects one."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmc2fmae.datasets.label_info import INFO_FILE as INFO_FILE
from mmc2fmae.datasets.label_info import LabelInfo as LabelInfo
from mmc2fmae.datasets.label_info import label_info, read_label_info
from mmc2fmae.datasets.label_info import manifest_path as manifest_path
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import AnyPath, write_atomically

GRANULARITIES = ('instance', 'semantic')

# Chosen by measurement (docs/benchmarks.md): filters make ids, which repeat but do not shade off,
# larger and slower to read.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 6]
_PNG += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
if hasattr(cv2, 'IMWRITE_PNG_FILTER'):  # older OpenCV chooses by itself, at some cost in bytes
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


def map_path(root: AnyPath, granularity: str, split: str, name: str) -> Path:
    """Return where a photograph's map lies: ``ROOT/<granularity>/<split>/<stem>.png``.

    Args:
        root: Folder of the dataset.
        granularity: 'instance' or 'semantic'.
        split: Folder of the photographs in ``root``, e.g. 'train'.
        name: The photograph's path relative to ``ROOT/<split>``.
    """
    return Path(root, granularity, split, os.path.splitext(name)[0] + '.png')


def read_manifest(path: str | Path) -> Iterator[dict]:
    """Yield the lines of a manifest.

    Raises:
        DatasetError: A line is damaged.
    """
    with open(path, encoding='utf-8-sig') as file:  # a line at a time: it may be large
        for number, line in enumerate(file, start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DatasetError(f'{path}, line {number}, is damaged ({error})') from error


def encode_map(labels: np.ndarray) -> bytes:
    """Encode a label map as a PNG of 8-bit ids, or of 16-bit ids where 8 do not suffice.

    Args:
        labels: (h, w) ids from 0 to 65535.
    """
    kind = np.uint8 if labels.max(initial=0) < 256 else np.uint16
    done, data = cv2.imencode('.png', labels.astype(kind), _PNG)
    if not done:
        raise ValueError(f'OpenCV cannot encode a label map of shape {labels.shape}')
    return data.tobytes()


def write_map(path: AnyPath, labels: np.ndarray) -> None:
    """Write a label map, whole or not at all; see :func:`encode_map`."""
    write_atomically(encode_map(labels), path)


def claim_labels(
    root: AnyPath,
    split: str,
    classes: Sequence[str],
    source: dict[str, Any],
    made: Any,
) -> None:
    """Write ``ROOT/labels.json``, or add a split to the one of the same source and classes.

    Args:
        root: Folder of the dataset.
        split: The split whose maps are written.
        classes: Names of the semantic ids from 0.
        source: What makes the maps of every split, JSON types.
        made: What is said of this split, JSON types.

    Raises:
        DatasetError: The folder holds maps of another source, or of other classes.
    """
    found = read_label_info(root)
    splits = {}
    if found is not None:
        old = {key: value for key, value in found.source.items() if key != 'splits'}
        if found.semantic_classes != tuple(classes) or old != source:
            raise DatasetError(
                f'{root} holds maps of another source: found {old} with '
                f'{len(found.semantic_classes)} classes, expected {source} with {len(classes)}; '
                f'choose another output folder, or remove {root}'
            )
        splits = found.source.get('splits', {})
    label_info(classes, dict(source, splits=splits | {split: made})).write(root)


def coco_panoptic_classes() -> tuple[str, ...]:
    """Return the 133 COCO panoptic classes in the order of their ids: 80 things, then 53 stuff."""
    from mmdet.datasets.coco_panoptic import CocoPanopticDataset

    return tuple(CocoPanopticDataset.METAINFO['classes'])


def link_photographs(images: AnyPath, root: AnyPath, split: str) -> None:
    """Make ``ROOT/<split>`` show the photographs, by a link where they lie elsewhere.

    Args:
        images: Folder of the photographs.
        root: Folder of the dataset.
        split: Name of the link.

    Raises:
        DatasetError: ``ROOT/<split>`` is something else already.
    """
    images, link = Path(images).resolve(), Path(root, split)
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(images, target_is_directory=True)
    except FileExistsError:
        if link.resolve() != images:
            raise DatasetError(
                f'{link} is there already and is not {images}: choose another output or split'
            ) from None
