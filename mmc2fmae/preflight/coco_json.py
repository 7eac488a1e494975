"""COCO files of instances: read, checked field by field, and repaired where nothing is in doubt."""

import gc
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from mmc2fmae.errors import DatasetError, shown
from mmc2fmae.preflight.coco_geometry import LARGEST_SIDE, check_geometry, read_boxes
from mmc2fmae.preflight.defects import Defects, note_values

LISTS = ('images', 'annotations', 'categories')
LARGEST_ID = 2**53  # beyond, a json of other programs is not exact


class Coco(NamedTuple):
    """A checked COCO file.

    Args:
        content: What mmdet and pycocotools read.
        repairs: What was repaired, in words.
    """

    content: dict
    repairs: list[str]


def read_coco(path: str | os.PathLike, masks: bool = True) -> Coco:
    """Read a COCO file of instances and check all that mmdet and pycocotools need of it.

    A byte-order mark, ids written as 1.0, annotation ids from 0, missing ``iscrowd`` (0), a missing
    ``area`` or areas that are mostly of something else (that of the mask, or of the box where masks
    are not trained), and an unused second category of one name are repaired.

    Args:
        path: The json.
        masks: Whether segmentations are used; otherwise they are not looked at.

    Raises:
        DatasetError: It is no such file, or fields are missing or wrong: one line of all kinds of
            defects, with counts and the first ids.
    """
    path = Path(path)
    content = _load(path)
    images, annotations, categories = (content[key] for key in LISTS)
    defects, repairs = Defects(path), list[str]()
    for kind, rows in zip(LISTS, (images, annotations, categories), strict=True):
        bad = [i for i, row in enumerate(rows) if type(row) is not dict]
        defects.note(kind, rows, bad, 'are no objects with names and values')
    defects.stop()
    if not images or not categories:
        raise DatasetError(f'{path} has {len(images)} images and {len(categories)} categories')
    whole = False
    for kind, rows in zip(LISTS, (images, annotations, categories), strict=True):
        whole |= _check_ids(defects, kind, rows, 'id')
    for key in ('image_id', 'category_id'):
        whole |= _check_ids(defects, 'annotations', annotations, key)
    if whole:
        repairs.append('ids like 1.0 are read as 1')
    _check_categories(defects, categories)
    _check_images(defects, images)
    defects.stop()
    content['categories'] = categories = _without_twins(path, categories, annotations, repairs)
    _check_unique(defects, images, annotations, categories)
    defects.stop()
    _check_annotations(defects, images, annotations, categories, repairs)
    boxes = read_boxes(defects, annotations)
    defects.stop()
    check_geometry(
        defects, images, annotations=annotations, boxes=boxes, masks=masks, repairs=repairs
    )
    if annotations and all(a['iscrowd'] for a in annotations):
        defects.note(
            'annotations', annotations, range(len(annotations)), 'are crowds (iscrowd 1), so '
            'there is no object to learn or to find'
        )  # fmt: skip
    defects.stop()
    if not _count_from_one(annotations):
        repairs.append('annotation ids below 1 are counted from 1')
    return Coco(content, repairs)


def renumbered(content: dict) -> dict:
    """Return a COCO file whose annotation ids start from 1, which nothing else refers to.

    pycocotools takes id 0 for 'not found'.
    """
    if _count_from_one(content['annotations']):
        return content
    annotations = [dict(a, id=number) for number, a in enumerate(content['annotations'], 1)]
    return dict(content, annotations=annotations)


def _count_from_one(annotations: list[dict]) -> bool:
    return min((a['id'] for a in annotations), default=1) > 0


def _load(path: Path) -> dict:
    collecting = gc.isenabled()
    gc.disable()  # it would visit the millions of objects of COCO again and again
    try:
        content = json.loads(path.read_bytes())  # finds UTF-8, -16 and -32, with or without mark
    except FileNotFoundError as error:
        raise DatasetError(f'{path} does not exist: set data_root or ann_file') from error
    except OSError as error:
        raise DatasetError(f'{path} cannot be read ({error.strerror})') from error
    except RecursionError as error:
        raise DatasetError(
            f'{path} is no readable json (nested too deeply): expected a COCO file of instances'
        ) from error
    except ValueError as error:
        raise DatasetError(
            f'{path} is no readable json ({error}): expected a COCO file in UTF-8'
        ) from error
    finally:
        if collecting:
            gc.enable()
    absent = [k for k in LISTS if not isinstance(content, dict) or type(content.get(k)) is not list]
    if absent:
        raise DatasetError(
            f'{path} is no COCO file of instances: it has no list of {", ".join(absent)}'
        )
    return content


def _check_ids(defects: Defects, kind: str, rows: list[dict], key: str) -> bool:
    """Check that ids are whole numbers; write those like 1.0 as such and tell if there were any."""
    values: list[Any] = [row.get(key) for row in rows]
    types = set(map(type, values))
    if types <= {int} and max(map(abs, values), default=0) < LARGEST_ID:
        return False
    bad, mended = [], False
    for i, (row, value) in enumerate(zip(rows, values, strict=True)):
        if type(value) is float and value.is_integer() and abs(value) < LARGEST_ID:
            row[key], mended = int(value), True
        elif type(value) is not int or abs(value) >= LARGEST_ID:
            bad.append(i)
    seen = shown(values[bad[0]]) if bad else ''
    defects.note(kind, rows, bad, f'have no whole number as {key} but such as {seen}')
    return mended


def _is_text(value: Any) -> bool:
    return type(value) is str and bool(value.strip()) and '\0' not in value


def _check_categories(defects: Defects, categories: list[dict]) -> None:
    note_values(
        defects, 'categories', rows=categories, key='name', fits=_is_text, expected='a text'
    )


def _check_images(defects: Defects, images: list[dict]) -> None:
    note_values(
        defects,
        'images',
        rows=images,
        key='file_name',
        fits=_is_text,
        expected='a path below the images folder',
    )
    for key in ('width', 'height'):
        note_values(
            defects, 'images', rows=images, key=key, expected='pixels as a whole number',
            fits=lambda v: type(v) in (int, float) and 0 < v <= LARGEST_SIDE and v == int(v),
        )  # fmt: skip
    for image in images if not defects.kinds else ():
        image['width'], image['height'] = int(image['width']), int(image['height'])


def _without_twins(
    path: Path, categories: list[dict], annotations: list[dict], repairs: list[str]
) -> list[dict]:
    """Drop categories without annotations that share their name with one that has some."""
    names = Counter(category['name'] for category in categories)
    used = {annotation['category_id'] for annotation in annotations}
    twins = [c for c in categories if names[c['name']] > 1]
    if not twins:
        return categories
    kept = [c for c in categories if names[c['name']] == 1 or c['id'] in used]
    names = Counter(category['name'] for category in kept)
    lost = {c['name'] for c in twins} - set(names)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice or lost:
        raise DatasetError(
            f'{path}: several categories have the name {shown((twice or sorted(lost))[0])}: ids '
            f'{[c["id"] for c in twins][:5]}; give each a name of its own, or one id to all of '
            'their annotations'
        )
    dropped = [c['id'] for c in categories if c not in kept]
    repairs.append(f'category ids {dropped[:5]} have the name of another one and no annotation')
    return kept


def _check_unique(
    defects: Defects, images: list[dict], annotations: list[dict], categories: list[dict]
) -> None:
    for kind, rows, key, fix in (
        ('images', images, 'id', 'files put together need new numbers, in images and annotations'),
        ('images', images, 'file_name', 'list each photograph once, with all of its annotations'),
        ('annotations', annotations, 'id', 'number them anew, or remove what is there twice'),
        ('categories', categories, 'id', 'give each a number of its own'),
    ):
        values = [row[key] for row in rows]
        if len(set(values)) < len(values):
            seen, bad = set(), []
            for i, value in enumerate(values):
                if value in seen:
                    bad.append(i)
                seen.add(value)
            defects.note(kind, rows, bad, f'repeat the {key} of another one; {fix}')


def _check_annotations(
    defects: Defects,
    images: list[dict],
    annotations: list[dict],
    categories: list[dict],
    repairs: list[str],
) -> None:
    ids = {image['id'] for image in images}
    bad = [i for i, a in enumerate(annotations) if a['image_id'] not in ids]
    defects.note('annotations', annotations, bad, 'belong to images that the file does not list')
    ids = {category['id'] for category in categories}
    bad = [i for i, a in enumerate(annotations) if a['category_id'] not in ids]
    strange = sorted({annotations[i]['category_id'] for i in bad})[:5]
    defects.note(
        'annotations', annotations, bad,
        f'have category ids {strange} that categories do not list: they list {sorted(ids)[:20]}',
    )  # fmt: skip
    missing = 0
    for annotation in annotations:
        missing += 'iscrowd' not in annotation
        annotation.setdefault('iscrowd', 0)
    if missing:
        repairs.append(f'{missing:,} annotations without iscrowd are no crowds')
    for key in ('iscrowd', 'ignore'):
        note_values(
            defects, 'annotations', rows=annotations, key=key,
            fits=lambda v: v is None or (type(v) in (int, bool, float) and v in (0, 1)),
            expected='0 or 1',
        )  # fmt: skip
    crowdless = [i for i, a in enumerate(annotations) if a['iscrowd'] is None]
    defects.note('annotations', annotations, crowdless, 'have iscrowd null, expected 0 or 1')
    if not defects.kinds:
        for annotation in annotations:
            annotation['iscrowd'] = int(annotation['iscrowd'])
