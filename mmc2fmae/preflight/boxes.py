"""Does a COCO annotation file fit its images and the classes of a config?"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmc2fmae.errors import DatasetError, first_names, nearest
from mmc2fmae.files import evenly, missing_files, spelt_otherwise
from mmc2fmae.images.orientation import upright_size
from mmc2fmae.preflight.coco_json import Coco, read_coco
from mmc2fmae.preflight.defects import Found
from mmc2fmae.preflight.orientation import require_decided


def check_coco(
    ann_file: str | os.PathLike,
    image_dir: str | os.PathLike,
    classes: Sequence[str],
    masks: bool = True,
    max_sizes: int = 64,
    coco: Coco | None = None,
) -> Found:
    """Check a COCO annotation file against its images and the classes of a config.

    Args:
        ann_file: COCO instances json.
        image_dir: Folder that its file names are relative to.
        classes: Class names that the model is trained on.
        masks: Whether objects need a segmentation.
        max_sizes: Images, evenly spaced, whose size is compared with the json's.
        coco: The file, where it was read before.

    Returns:
        What was found, and what was repaired.

    Raises:
        DatasetError: The file is damaged (see :func:`read_coco`), images are missing, have another
            size or EXIF turns that leave open what the boxes fit, classes are unknown, boxes lie
            outside, or segmentations are missing; the message names the first of them.
    """
    ann_file, image_dir = Path(ann_file), Path(image_dir)
    content, repairs = coco or read_coco(ann_file, masks)
    images = {image['id']: image for image in content['images']}
    annotations = content['annotations']
    names = {category['id']: category['name'] for category in content['categories']}

    absent = missing_files(image_dir / image['file_name'] for image in images.values())
    if absent:
        raise DatasetError(
            f'{ann_file}: {len(absent)} of {len(images)} images are missing, first '
            f'{first_names(absent)}{spelt_otherwise(absent)}: '
            "set data_root and data_prefix=dict(img=...) to their folder, or make the json's "
            'file_name relative to it'
        )
    class_ids(ann_file, content['categories'], classes)
    used = [a for a in annotations if names[a['category_id']] in classes]
    if not used:
        raise DatasetError(f'{ann_file} has no annotation of the classes {list(classes)}')
    if masks:
        bare = [str(a['id']) for a in used if not a.get('segmentation')]
        if bare:
            raise DatasetError(
                f'{ann_file}: {len(bare)} of {len(used)} annotations have no segmentation, which '
                f'Mask R-CNN needs; the first have the ids {", ".join(bare[:5])}; '
                'tools/masks_to_coco.py writes them from instance masks'
            )
    _check_boxes(ann_file, used, images)
    labelled = [images[number] for number in dict.fromkeys(a['image_id'] for a in used)]
    turned = require_decided([image_dir / image['file_name'] for image in labelled], 'boxes')
    for image in [*(labelled[i] for i in turned), *evenly(list(images.values()), max_sizes)]:
        _check_size(ann_file, image_dir, image)
    notes = [f'{ann_file}: {repair}' for repair in repairs]
    ignored = len(annotations) - len(used)
    if ignored:
        notes.append(f'{ann_file}: {ignored} annotations of other categories are not used')
    if [name for name in names.values() if name in classes] != list(classes):
        listed = _shortened(', '.join(names.values()))
        notes.append(f'{ann_file}: its categories ({listed}) are matched by name')
    return Found(
        f'{ann_file}: {len(images)} images and {len(used)} annotations of {len(classes)} classes',
        notes,
    )


def class_ids(
    ann_file: str | os.PathLike, categories: Sequence[dict], classes: Sequence[str]
) -> list[int]:
    """Return the category ids of classes, in the order of the classes.

    Args:
        ann_file: The COCO file, for messages.
        categories: Its categories.
        classes: Names.

    Raises:
        DatasetError: Some are no categories, or are there twice; both lists are shown.
    """
    ids = {category['name']: category['id'] for category in categories}
    twice = sorted({name for name in classes if list(classes).count(name) > 1})
    if isinstance(classes, str) or twice:
        what = f'{twice} twice' if twice else f'a text: write ({classes!r},)'
        raise DatasetError(f'metainfo=dict(classes={classes!r}) has {what}; give each class once')
    unknown = sorted(set(classes) - set(ids))
    if unknown:
        close = {name: nearest(name.casefold(), {known.casefold(): known for known in ids})
                 for name in unknown}  # fmt: skip
        raise DatasetError(
            f'{ann_file} lacks {len(unknown)} of the {len(classes)} classes: '
            f'{first_names([name + close[name] for name in unknown])}; it has {len(ids)} '
            f'categories: {first_names(sorted(ids))}: give --classes auto, or their names'
        )
    return [ids[name] for name in classes]


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f'{text[:57]}...'


def _check_boxes(ann_file: Path, annotations: list[dict], images: dict[int, dict]) -> None:
    """Refuse boxes outside their image, unless they are the odd ones that every large set has."""
    boxes = np.array([a['bbox'] for a in annotations], dtype=float)
    sizes = np.array([(images[a['image_id']]['width'], images[a['image_id']]['height'])
                      for a in annotations], dtype=float)  # fmt: skip
    corners = boxes[:, :2] + boxes[:, 2:]
    outside = (boxes[:, :2] < -2).any(1) | (corners > sizes + 2).any(1) | (boxes[:, 2:] < 0).any(1)
    normalised = len(boxes) > 1 and boxes.max() <= 1
    if outside.mean() <= 0.01 and not normalised:
        return
    if normalised:
        fix = 'they look relative to the image: COCO wants x, y, width, height in pixels'
    elif (boxes[:, 2:] <= sizes + 2).all() and (boxes[:, 2:] >= boxes[:, :2]).all():
        fix = 'they look like x1, y1, x2, y2: COCO wants x, y, width, height'
    else:
        fix = 'were the images resized after they were annotated?'
    examples = [
        f'annotation {annotations[i]["id"]}: {annotations[i]["bbox"]} in an image of '
        f'{sizes[i, 0]:g} x {sizes[i, 1]:g}'
        for i in (np.arange(len(boxes)) if normalised else np.flatnonzero(outside))
    ]
    count = len(boxes) if normalised else int(outside.sum())
    raise DatasetError(
        f'{ann_file}: {count} of {len(boxes)} boxes are not in their image, first '
        f'{first_names(examples)}; {fix}'
    )


def _check_size(ann_file: Path, folder: Path, image: dict) -> None:
    path = folder / image['file_name']
    found = upright_size(path)
    listed = (image['width'], image['height'])
    if listed != found:
        raise DatasetError(
            f'{path} is {found[0]} x {found[1]} pixels, {ann_file} says {listed[0]} x {listed[1]}: '
            'annotate the images as they are now'
        )
