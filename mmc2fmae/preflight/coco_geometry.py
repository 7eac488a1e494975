"""Boxes, areas and masks of COCO files: in their images, and fitting each other."""

from itertools import chain
from typing import Any

import numpy as np

from mmc2fmae.preflight.coco_shapes import OUTSIDE, Shapes, read_shapes
from mmc2fmae.preflight.defects import FEW, Defects, note_values

LARGEST_SIDE = 2**20
THIN = 0.01
"""Share of a box below which an area is taken for no mask's: relative, or of another size."""


def read_boxes(defects: Defects, annotations: list[dict]) -> np.ndarray:
    """Return the (N, 4) boxes; what is no four numbers is noted."""
    values: list[Any] = [a.get('bbox') for a in annotations]
    if all(type(v) is list and len(v) == 4 for v in values) and (
        set(map(type, chain.from_iterable(values))) <= {int, float}
    ):
        bad: list[int] = []
    else:
        bad = [i for i, v in enumerate(values) if not _is_box(v)]
    defects.note(
        'annotations', annotations, bad, 'have no bbox of four numbers x, y, width, height'
    )
    if bad:
        return np.zeros((0, 4))
    try:
        boxes = np.array(values, dtype=float).reshape(-1, 4)
    except OverflowError:
        boxes = np.array([[float(max(min(x, 1e300), -1e300)) for x in v] for v in values])
    wild = ~(np.abs(boxes) < LARGEST_SIDE).all(1)  # NaN, too
    defects.note(
        'annotations', annotations, np.flatnonzero(wild),
        f'have a bbox that is not finite or beyond {LARGEST_SIDE:,} pixels',
    )  # fmt: skip
    negative = (boxes[:, 2:] < 0).any(1) & ~wild
    defects.note(
        'annotations', annotations, np.flatnonzero(negative),
        'have a bbox of negative width or height',
    )  # fmt: skip
    return boxes


def _is_box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(type(x) in (int, float) for x in value)


def check_geometry(
    defects: Defects,
    images: list[dict],
    annotations: list[dict],
    boxes: np.ndarray,
    masks: bool,
    repairs: list[str],
) -> None:
    """Check areas, boxes against masks, and every mask; mend areas that are missing or others."""
    sizes = {image['id']: (image['width'], image['height']) for image in images}
    shapes = None
    if masks:
        shapes = read_shapes(
            [a.get('segmentation') for a in annotations],
            _sizes_of(annotations, sizes),
        )
        for what, bad in shapes.defects.items():
            defects.note('annotations', annotations, bad, f'have a segmentation {what}')
    note_many = defects.note_many
    flat = np.flatnonzero((boxes[:, 2:] < 1).any(1))
    whole = len(boxes) > 1 and boxes.max() > 1  # relative boxes have an advice of their own
    if whole:
        note_many('annotations', annotations, flat, 'have a bbox less than a pixel wide or high')
    if shapes is not None and not defects.kinds:
        note_many('annotations', annotations, np.flatnonzero(shapes.empty), 'have an empty mask')
        far = np.flatnonzero(shapes.outside)
        note_many('annotations', annotations, far, 'have a mask that is partly outside its image')
        inside = (boxes[:, :2] + boxes[:, 2:] <= _sizes_of(annotations, sizes) + OUTSIDE).all(1)
        if whole and inside.mean() >= 1 - FEW:  # other boxes have an advice of their own, too
            apart = np.flatnonzero(_apart(boxes, shapes))
            note_many('annotations', annotations, apart, 'have a mask that lies outside their bbox')
            if not defects.kinds:
                _note_other_boxes(defects, annotations, boxes, shapes)
    _mend_areas(defects, annotations, boxes, shapes, repairs)


def _sizes_of(annotations: list[dict], sizes: dict[int, tuple[int, int]]) -> np.ndarray:
    return np.array([sizes[a['image_id']] for a in annotations], int).reshape(-1, 2)


def _apart(boxes: np.ndarray, shapes: Shapes, margin: float = 2) -> np.ndarray:
    """Tell which masks have nothing in common with their box."""
    start = np.maximum(boxes[:, :2], shapes.boxes[:, :2])
    end = np.minimum(boxes[:, :2] + boxes[:, 2:], shapes.boxes[:, 2:])
    return shapes.known & ~shapes.empty & (end + margin < start - margin).any(1)


def _note_other_boxes(
    defects: Defects, annotations: list[dict], boxes: np.ndarray, shapes: Shapes
) -> None:
    """Note boxes that are not those of their masks, where most are not: all are meant otherwise."""
    use = np.flatnonzero(shapes.known & ~shapes.empty)
    if not len(use):
        return
    boxes, masks = boxes[use], shapes.boxes[use]
    fits = _overlap(np.c_[boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], masks)
    fix = 'were the images resized after they were annotated?' * bool(np.median(fits) < 0.5)
    for words, corners in _readings(boxes).items():
        if np.median(fits) < 0.8 and np.median(_overlap(corners, masks)) > 0.95:
            fix = f'it looks like {words}, expected x, y, width, height'
    if fix:
        defects.note(
            'annotations', annotations, use[fits < 0.8],
            f'have a bbox that is not that of their mask, {fix}',
        )  # fmt: skip


def _readings(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the corners x1, y1, x2, y2 of (N, 4) boxes that other programs mean."""
    place, size, swapped = boxes[:, :2], boxes[:, 2:], boxes[:, [1, 0, 3, 2]]
    return {
        'x1, y1, x2, y2': boxes,
        'y1, x1, y2, x2': swapped,
        'y, x, height, width': np.c_[swapped[:, :2], swapped[:, :2] + swapped[:, 2:]],
        'centre x, centre y, width, height': np.c_[place - size / 2, place + size / 2],
    }


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of N pairs of boxes x1, y1, x2, y2."""
    start = np.maximum(first[:, :2], second[:, :2])
    shared = np.maximum(np.minimum(first[:, 2:], second[:, 2:]) - start, 0).prod(1)
    areas = [np.maximum(box[:, 2:] - box[:, :2], 0).prod(1) for box in (first, second)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)


def _mend_areas(
    defects: Defects,
    annotations: list[dict],
    boxes: np.ndarray,
    shapes: Shapes | None,
    repairs: list[str],
) -> None:
    note_values(
        defects, 'annotations', rows=annotations, key='area',
        fits=lambda v: v is None or (type(v) in (int, float) and 0 <= v < LARGEST_SIDE**2),
        expected='pixels, 0 or more',
    )  # fmt: skip
    none = [i for i, a in enumerate(annotations) if a.get('area') == 0]
    defects.note_many('annotations', annotations, np.array(none), 'have area 0')
    if defects.kinds or not annotations:
        return
    of_box = boxes[:, 2] * boxes[:, 3]
    areas = of_box
    if shapes is not None:
        areas = np.where(shapes.known & ~shapes.empty, shapes.areas, areas)
    given = np.array([a.get('area') for a in annotations], float)  # NaN where there is none
    without = np.isnan(given)
    least = areas / 2 if shapes is not None else of_box * THIN
    other = (given < least) | (given > 2 * of_box)
    if other.sum() <= (~without).sum() / 2:  # a few may be odd: AP by size hardly changes
        other[:] = False
    source = 'mask' if shapes is not None else 'box'
    for wrong, what in (
        (without, 'without area'),
        (other, 'with an area that is neither that of their mask nor that of their box'),
    ):
        for i in np.flatnonzero(wrong):
            annotations[i]['area'] = float(areas[i])
        if wrong.any():
            repairs.append(f'{wrong.sum():,} annotations {what} have that of their {source}')
