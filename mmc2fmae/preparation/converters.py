"""Ground truth that is around: COCO panoptic, ADE20K, folders of PNGs."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmc2fmae.datasets.sample_io import read_colour_map, read_label_map
from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.files import AnyPath, list_files, list_photographs, missing_files, spelt_otherwise
from mmc2fmae.label_ids import IGNORE, canonical_ids
from mmc2fmae.preparation.coco_json import pair_by_stem
from mmc2fmae.preparation.conversion import Conversion, Labelled
from mmc2fmae.preparation.layout import GRANULARITIES, coco_panoptic_classes
from mmc2fmae.texts import read_lines, read_text

ADE_SPLITS = dict(train='training', val='validation')


def from_coco_panoptic(
    images: AnyPath,
    annotations: AnyPath,
    pngs: AnyPath | None = None,
) -> Conversion:
    """Describe COCO photographs with panoptic annotations.

    Semantic ids are those of :func:`coco_panoptic_classes` where the names are COCO's 133, else
    the file's categories, things first. Instances are the segments of things but for crowds.

    Args:
        images: Folder of the photographs.
        annotations: Panoptic json, e.g. ``panoptic_train2017.json``.
        pngs: Folder of its PNGs; by default the json's name without suffix.

    Raises:
        DatasetError: The json is of another kind or names what does not exist.
    """
    annotations = Path(annotations)
    pngs = annotations.with_suffix('') if pngs is None else Path(pngs)
    try:
        content = json.loads(read_text(annotations))
        categories = {c['id']: (c['name'], bool(c['isthing'])) for c in content['categories']}
        photos = {image['id']: image['file_name'] for image in content['images']}
        records = [
            (a['image_id'], a['file_name'], a['segments_info']) for a in content['annotations']
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{annotations} is no panoptic json ({error!r}): expected images, categories with '
            'isthing, and annotations with segments_info, as in panoptic_train2017.json'
        ) from error
    classes = _panoptic_classes(annotations, list(categories.values()))
    index = {name: number for number, name in enumerate(classes)}
    items = []
    for image_id, png, segments in records:
        try:
            details = tuple(
                (
                    segment['id'],
                    index[categories[segment['category_id']][0]],
                    categories[segment['category_id']][1] and not segment.get('iscrowd', 0),
                )
                for segment in segments
            )
            files = (str(pngs / png), str(annotations))
            items.append(Labelled(photos[image_id], files, details))
        except KeyError as error:
            raise DatasetError(
                f'{annotations}: the annotation of {png} names image or category {error}, which '
                'the file does not have'
            ) from error
    _check_exist(Path(images) / item.name for item in items)
    _check_exist(item.files[0] for item in items)
    return Conversion(
        images=str(images),
        items=items,
        classes=classes,
        granularities=GRANULARITIES,
        source=dict(kind='COCO panoptic'),
        read=_read_panoptic,
    )


def from_ade20k(folder: AnyPath, split: str = 'train', instances: bool = True) -> Conversion:
    """Describe ADE20K as the scene parsing challenge publishes it (ADEChallengeData2016).

    Args:
        folder: Has ``images``, ``annotations`` (0 = unlabelled, classes from 1) and, for
            instances, ``annotations_instance`` (red = class, green = number of the instance; the
            instance challenge's archive), each with ``training`` and ``validation``.
        split: 'train' or 'val'.
        instances: Whether to convert the instances; without, there are semantic maps alone.

    Raises:
        DatasetError: Folders or files are missing.
    """
    from mmseg.datasets import ADE20KDataset

    parts = [Path(folder, kind, ADE_SPLITS[split]) for kind in ('images', 'annotations')]
    granularities: tuple[str, ...] = ('semantic',)
    if instances:
        parts.append(Path(folder, 'annotations_instance', ADE_SPLITS[split]))
        granularities = GRANULARITIES
        if not parts[-1].is_dir():
            raise DatasetError(
                f"{parts[-1]} does not exist: unpack the instance challenge's "
                'annotations_instance beside annotations, or convert without instances '
                '(--no-instances; docs/convert_data.md says how to train then)'
            )
    images, *labels = parts
    pairs = [(folder, pair_by_stem(images, folder)) for folder in labels]
    items = [
        Labelled(name, tuple(str(folder / masks[name]) for folder, masks in pairs))
        for name in pairs[0][1]
    ]
    classes = tuple(name.strip() for name in ADE20KDataset.METAINFO['classes'])
    source = dict(kind='ADE20K', instances=instances)
    return Conversion(
        images=str(images),
        items=items,
        classes=classes,
        granularities=granularities,
        source=source,
        read=partial(_read_ade20k, len(classes)),
    )


def from_folders(
    images: AnyPath,
    instance: AnyPath,
    semantic: AnyPath | None,
    classes: Sequence[str],
    reduce_zero_label: bool = False,
    instance_void: int | None = None,
    skip_unlabelled: bool = False,
) -> Conversion:
    """Describe photographs with PNGs of instance ids and, maybe, of class ids.

    Args:
        images: Folder of the photographs.
        instance: PNGs of 8- or 16-bit instance ids of any numbering, 0 = background.
        semantic: PNGs of class ids from 0, 255 = unknown; None makes two classes, where no
            instance is and where one is.
        classes: Their names; for two without ``semantic``, background and object.
        reduce_zero_label: Whether 0 of ``semantic`` means unknown and the classes start at 1.
        instance_void: Value of ``instance`` that is no instance either, as 255 in Pascal VOC.
        skip_unlabelled: Whether photographs may lack labels; they are left out.

    Raises:
        DatasetError: Photographs lack maps, or there are no names for the classes.
    """
    if semantic is None and len(classes) != 2:
        raise DatasetError(f'{len(classes)} classes without class maps: expected 2, {classes}')
    folders = [Path(folder) for folder in (instance, semantic) if folder is not None]
    pairs = [_pairs(images, folder, skip_unlabelled) for folder in folders]
    items = [
        Labelled(name, tuple(str(f / masks[name]) for f, masks in zip(folders, pairs, strict=True)))
        for name in pairs[0]
        if all(name in masks for masks in pairs)
    ]
    source = dict(
        kind='folders',
        instance=Path(instance).name,
        semantic=semantic and Path(semantic).name,
        reduce_zero_label=reduce_zero_label,
        instance_void=instance_void,
    )
    read = partial(_read_folders, len(classes), reduce_zero_label, instance_void)
    return Conversion(
        images=str(images),
        items=items,
        classes=tuple(classes),
        granularities=GRANULARITIES,
        source=source,
        read=read,
    )


def read_class_names(path: AnyPath) -> tuple[str, ...]:
    """Read class names, one a line.

    Raises:
        DatasetError: The file is no text, or a name is there twice.
    """
    names = tuple(read_lines(path))
    if len(set(names)) < len(names):
        raise DatasetError(
            f'{path} has names twice: {sorted({n for n in names if names.count(n) > 1})}'
        )
    return names


def _panoptic_classes(annotations: Path, categories: Sequence[tuple[str, bool]]) -> tuple[str, ...]:
    coco = coco_panoptic_classes()
    counts = Counter(name for name, _ in categories)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DatasetError(
            f'{annotations} has several categories of the name {", ".join(map(repr, twice[:5]))}, '
            'thing and stuff maybe, whose ids would become one class: rename one of each'
        )
    names = tuple(n for n, thing in categories if thing) + tuple(n for n, t in categories if not t)
    return coco if set(names) == set(coco) else names


def _check_exist(paths: Iterable[Path | str]) -> None:
    lost = missing_files(paths)
    if lost:
        raise DatasetError(
            f'{len(lost)} files do not exist, first {first_names(lost)}{spelt_otherwise(lost)}'
        )


def _pairs(images: AnyPath, folder: Path, skip_unlabelled: bool) -> dict[str, str]:
    if not skip_unlabelled:
        return pair_by_stem(images, folder)
    masks = {os.path.splitext(n)[0]: n for n in list_files(folder) if n.endswith('.png')}
    stems = {name: os.path.splitext(name)[0] for name in list_photographs(images)}
    return {name: masks[stem] for name, stem in stems.items() if stem in masks}


def _read_panoptic(item: Labelled) -> dict[str, np.ndarray]:
    """Read a panoptic PNG: id = R + 256 G + 65536 B, 0 is void."""
    path, _ = item.files
    red, green, blue = np.moveaxis(read_colour_map(path).astype(np.int32), -1, 0)
    segments = red + 256 * green + 65536 * blue
    ids = np.unique(segments)
    known = {number: (label, counted) for number, label, counted in item.details}
    unknown = sorted(set(ids.tolist()) - set(known) - {0})
    if unknown:
        raise DatasetError(f'{path} has segments {unknown[:5]} that the json does not have')
    known[0] = (IGNORE, False)
    labels = np.array([known[number][0] for number in ids.tolist()], np.uint8)
    counted = np.array([known[number][1] for number in ids.tolist()])
    places = np.searchsorted(ids, segments)
    instances = np.where(counted, np.arange(1, len(ids) + 1), 0).astype(np.uint16)
    return dict(instance=canonical_ids(instances[places]), semantic=labels[places])


def _read_ade20k(num_classes: int, item: Labelled) -> dict[str, np.ndarray]:
    semantic, *instance = item.files
    maps = dict(semantic=_class_ids(semantic, num_classes, reduce_zero_label=True))
    if instance:
        red, green, _ = np.moveaxis(read_colour_map(instance[0]).astype(np.int32), -1, 0)
        maps['instance'] = canonical_ids(
            np.where(green > 0, 256 * red + green, 0).astype(np.uint16)
        )
    return maps


def _read_folders(
    num_classes: int, reduce_zero_label: bool, instance_void: int | None, item: Labelled
) -> dict[str, np.ndarray]:
    instances = read_label_map(item.files[0])
    if instance_void is not None:
        instances = np.where(instances == instance_void, 0, instances)
    if len(item.files) == 1:
        semantic = (instances > 0).astype(np.uint8)
    else:
        semantic = _class_ids(item.files[1], num_classes, reduce_zero_label)
    return dict(instance=canonical_ids(instances), semantic=semantic)


def _class_ids(path: str, num_classes: int, reduce_zero_label: bool) -> np.ndarray:
    """Return the (h, w) uint8 class ids of a PNG, 255 where unknown."""
    labels = read_label_map(path)
    table = np.arange(max(int(labels.max(initial=0)), IGNORE) + 1)
    if reduce_zero_label:
        table = np.where((table == 0) | (table == IGNORE), IGNORE, table - 1)
    ids = np.flatnonzero(np.bincount(labels.ravel()))
    wrong = [i for i in ids.tolist() if num_classes <= table[i] != IGNORE]
    if wrong:
        first = int(reduce_zero_label)
        raise DatasetError(
            f'{path} has classes {wrong[:5]}, expected {first} to {num_classes - 1 + first}, 255 '
            f'for unknown{" and 0 for unlabelled" if first else ""}'
        )
    return table.astype(np.uint8)[labels]
