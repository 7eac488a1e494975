"""COCO annotation files from instance masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from mmc2fmae.datasets.photograph_lists import require_unique_stems
from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.errors import DatasetError, SampleError, first_names
from mmc2fmae.files import IMAGE_SUFFIXES, AnyPath, list_files, list_photographs, spelt_otherwise
from mmc2fmae.images.orientation import upright_size
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.preflight.orientation import require_decided


def instance_annotations(
    instances: np.ndarray, semantic: np.ndarray | None = None, num_classes: int = 1
) -> list[dict]:
    """Turn an instance map into COCO annotations, by ascending id.

    Args:
        instances: (h, w) integer ids, 0 = background.
        semantic: (h, w) class ids from 0, 255 = unknown; an instance has the class of most of its
            known pixels. Without it, all instances have class 0.
        num_classes: Number of classes.

    Returns:
        Annotations without ``id`` and ``image_id``: compressed run lengths with text counts, area
        in pixels, bbox as x, y, width, height, category_id = class + 1.

    Raises:
        ValueError: An instance has no known class, or one beyond ``num_classes``.
    """
    annotations = []
    for number in np.unique(instances[instances > 0]).tolist():
        mask = instances == number
        label = 0
        if semantic is not None:
            votes = np.bincount(semantic[mask & (semantic != IGNORE)].ravel())
            if not len(votes):
                raise ValueError(f'instance {number} has no pixel of a known class')
            label = int(votes.argmax())
            if label >= num_classes:
                raise ValueError(
                    f'instance {number} has class {label}, but there are names for the classes 0 '
                    f'to {num_classes - 1}'
                )
        run = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
        annotations.append(
            dict(
                category_id=label + 1,
                segmentation=dict(size=run['size'], counts=run['counts'].decode('ascii')),
                area=int(rle.area(run)),
                bbox=rle.toBbox(run).tolist(),
                iscrowd=0,
            )
        )
    return annotations


def split_names(names: Sequence[str], val_share: float, seed: int) -> tuple[list[str], list[str]]:
    """Draw a share of the names for validation, the same for the same names and seed.

    Args:
        names: Names in any order.
        val_share: Share to draw, in (0, 1); at least one name is left on either side.
        seed: Seed of the draw.

    Returns:
        Sorted names for training and for validation.

    Raises:
        ValueError: The share is out of range or there are fewer than two names.
    """
    if not 0 < val_share < 1 or len(names) < 2:
        raise ValueError(
            f'cannot draw a share of {val_share} of {len(names)} images for validation: expected a '
            'share between 0 and 1 and at least two images'
        )
    number = min(max(round(val_share * len(names)), 1), len(names) - 1)
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    return sorted(order[number:]), sorted(order[:number])


def pair_by_stem(image_dir: AnyPath, mask_dir: AnyPath) -> dict[str, str]:
    """Find the mask of each photograph: the same relative path but for the suffix.

    Returns:
        Relative path of a photograph to that of its mask, sorted.

    Raises:
        DatasetError: There are no photographs, some lack a mask, or two would share one; the first
            are named.
    """
    photos = list_photographs(image_dir)
    if not photos:
        raise DatasetError(f'{image_dir} has no files ending in {", ".join(IMAGE_SUFFIXES)}')
    require_unique_stems(image_dir, photos)
    masks = {n.rsplit('.', 1)[0]: n for n in list_files(mask_dir) if n.endswith('.png')}
    lost = [n for n in photos if n.rsplit('.', 1)[0] not in masks]
    if lost:
        raise DatasetError(
            f'{len(lost)} of {len(photos)} photographs of {image_dir} have no mask of the same '
            f'name ending in .png in {mask_dir}, first {first_names(lost)}'
            + spelt_otherwise([Path(mask_dir, lost[0]).with_suffix('.png')])
        )
    return {name: masks[name.rsplit('.', 1)[0]] for name in photos}


def coco_from_masks(
    image_dir: str | Path,
    mask_dir: str | Path,
    classes: Sequence[str],
    semantic_dir: str | Path | None = None,
) -> dict:
    """Make a COCO instances file of a folder of photographs and one of instance masks.

    Args:
        image_dir: Photographs; file names in the result are relative to it.
        mask_dir: PNGs of 8- or 16-bit instance ids, 0 = background.
        classes: Class names; class i becomes category i + 1.
        semantic_dir: PNGs of class ids, where there is more than one class.

    Returns:
        The file's content.

    Raises:
        DatasetError: Files are missing, unreadable, of unequal size, or name unknown classes; or
            EXIF turns leave open what a mask fits.
    """
    if len(classes) > 1 and semantic_dir is None:
        raise DatasetError(
            f'{len(classes)} classes, but nothing tells which instance has which: give the folder '
            'of their semantic maps, too'
        )
    classes_of = pair_by_stem(image_dir, semantic_dir) if semantic_dir else {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    pairs = pair_by_stem(image_dir, mask_dir)
    require_decided([Path(image_dir, name) for name in pairs], 'masks')
    for number, (name, mask) in enumerate(pairs.items(), 1):
        width, height = upright_size(Path(image_dir, name))
        instances = _read(Path(mask_dir, mask), (height, width), name)
        semantic = None
        if semantic_dir:
            semantic = _read(Path(semantic_dir, classes_of[name]), (height, width), name)
            outside = np.unique(semantic[(semantic >= len(classes)) & (semantic != IGNORE)])
            if len(outside):
                raise DatasetError(
                    f'{Path(semantic_dir, classes_of[name])} has class ids '
                    f'{outside[:5].tolist()}, but there are names for the classes 0 to '
                    f'{len(classes) - 1} (255 = unknown): name them all, or correct the map'
                )
        try:
            found = instance_annotations(instances, semantic, len(classes))
        except ValueError as error:
            raise DatasetError(f'{Path(mask_dir, mask)}: {error}') from error
        images.append(dict(id=number, file_name=name, width=width, height=height))
        for annotation in found:
            annotations.append(dict(id=len(annotations) + 1, image_id=number, **annotation))
    if not annotations:
        raise DatasetError(f'the masks of {mask_dir} hold no object: all pixels are 0')
    return dict(
        info=dict(description=f'instances of {mask_dir}'),
        images=images,
        annotations=annotations,
        categories=[dict(id=i, name=name) for i, name in enumerate(classes, 1)],
    )


def subset(content: dict, names: Sequence[str]) -> dict:
    """Return a COCO file of the named images only, ids unchanged."""
    wanted = set(names)
    images = [image for image in content['images'] if image['file_name'] in wanted]
    ids = {image['id'] for image in images}
    kept = [a for a in content['annotations'] if a['image_id'] in ids]
    return dict(content, images=images, annotations=kept)


def _read(path: Path, shape: tuple[int, int], name: str) -> np.ndarray:
    try:
        labels = read_label_map(str(path))
    except SampleError as error:
        raise DatasetError(str(error)) from error
    if labels.shape != shape:
        raise DatasetError(
            f'{path} is {labels.shape[1]} x {labels.shape[0]} pixels, its photograph {name} is '
            f'{shape[1]} x {shape[0]}'
        )
    return labels
