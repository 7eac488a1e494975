"""Boxes, areas and masks of COCO files: in their images, and fitting each other."""

from itertools import chain
from typing import Any

import numpy as np

from mmc2fmae.preflight.coco_shapes import OUTSIDE, Shapes, read_shapes
from mmc2fmae.preflight.defects import FEW, Defects, note_values

LARGEST_SIDE = 2**20


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
    """Check areas, boxes against masks, and every mask; fill in areas that are missing."""
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
    _fill_areas(defects, annotations, boxes, shapes, repairs)


def _sizes_of(annotations: list[dict], sizes: dict[int, tuple[int, int]]) -> np.ndarray:
    return np.array([sizes[a['image_id']] for a in annotations], int).reshape(-1, 2)


def _apart(boxes: np.ndarray, shapes: Shapes, margin: float = 2) -> np.ndarray:
    """Tell which masks have nothing in common with their box."""
    start = np.maximum(boxes[:, :2], shapes.boxes[:, :2])
    end = np.minimum(boxes[:, :2] + boxes[:, 2:], shapes.boxes[:, 2:])
    return shapes.known & ~shapes.empty & (end + margin < start - margin).any(1)


def _fill_areas(
    defects: Defects,
    annotations: list[dict],
    boxes: np.ndarray,
    shapes: Shapes | None,
    repairs: list[str],
) -> None:
    note_values(
        defects, 'annotations', annotations, 'area',
        lambda v: v is None or (type(v) in (int, float) and 0 <= v < LARGEST_SIDE**2),
        'pixels, 0 or more',
    )  # fmt: skip
    without = [i for i, a in enumerate(annotations) if a.get('area') is None]
    none = [i for i, a in enumerate(annotations) if a.get('area') == 0]
    defects.note_many('annotations', annotations, np.array(none), 'have area 0')
    if defects.kinds or not without:
        return
    areas = boxes[:, 2] * boxes[:, 3]
    if shapes is not None:
        areas = np.where(shapes.known & ~shapes.empty, shapes.areas, areas)
    for i in without:
        annotations[i]['area'] = float(areas[i])
    source = 'mask' if shapes is not None else 'box'
    repairs.append(f'{len(without):,} annotations without area have that of their {source}')
