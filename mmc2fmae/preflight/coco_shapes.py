"""Segmentations of COCO files, read in bounds and all at once.

pycocotools trusts them: a polygon far outside its image ends the process, runs that do not fill
their image become another mask. So they are read here first, by numpy alone.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

CHUNK = 20_000  # annotations at a time, for bounded memory
OUTSIDE = 2  # pixels that an annotation may stick out of its image

FLAT = 'that is one list of numbers, expected a list of polygons [[x1, y1, x2, y2, ...], ...]'
WRONG = 'that is neither a list of polygons nor run lengths of size and counts'
DEEP = 'that is nested too deeply, expected a list of polygons [[x1, y1, x2, y2, ...], ...]'
SHORT = 'with a polygon of fewer than three points, or of a coordinate without its partner'
TEXT = 'with coordinates that are no finite numbers'
FAR = 'with coordinates far outside the image'
SWAPPED = 'whose size is [width, height] of its image, expected [height, width]'
SIZE = 'whose size is not [height, width] of its image'
COUNTS = 'whose counts are no run lengths that fill its image'


class Shapes(NamedTuple):
    """What N segmentations are.

    Args:
        known: (N,) there is one, and it is sound.
        empty: (N,) it has no pixel.
        outside: (N,) it sticks out of its image.
        areas: (N,) pixels; polygons that overlap or cross themselves are only roughly right.
        boxes: (N, 4) x1, y1, x2, y2.
        defects: What is wrong to the places where it is.
    """

    known: np.ndarray
    empty: np.ndarray
    outside: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    defects: dict[str, list[int]]


def read_shapes(segmentations: Sequence, sizes: np.ndarray) -> Shapes:
    """Read the segmentations of a COCO file.

    Args:
        segmentations: Polygons, run lengths as a list or text, or None and [] where there is none.
        sizes: (N, 2) width and height of their images.
    """
    number = len(segmentations)
    shapes = Shapes(
        known=np.zeros(number, bool), empty=np.zeros(number, bool), outside=np.zeros(number, bool),
        areas=np.zeros(number), boxes=np.zeros((number, 4)), defects={},
    )  # fmt: skip
    for start in range(0, number, CHUNK):
        polygons, runs = [], []
        for i, found in enumerate(segmentations[start : start + CHUNK], start):
            if found is None or found == []:
                continue
            if type(found) is list and all(type(part) is list for part in found):
                polygons.append(i)
            elif type(found) is dict:
                runs.append(i)
            else:
                numbers = type(found) is list and all(type(x) in (int, float) for x in found)
                shapes.defects.setdefault(FLAT if numbers else WRONG, []).append(i)
        _read_polygons(segmentations, np.array(polygons, int), sizes, shapes)
        _read_runs(segmentations, runs, sizes, shapes)
    return shapes


def _note(shapes: Shapes, what: str, places: np.ndarray) -> None:
    """Note a defect, and that these segmentations are not to be used."""
    if len(places):
        unique = np.unique(places)
        shapes.defects.setdefault(what, []).extend(unique.tolist())
        shapes.known[unique] = False


def _read_polygons(
    segmentations: Sequence, places: np.ndarray, sizes: np.ndarray, shapes: Shapes
) -> None:
    if not len(places):
        return
    parts = list(chain.from_iterable(segmentations[i] for i in places))
    owner = np.repeat(places, [len(segmentations[i]) for i in places])
    shapes.known[places] = True
    lengths = np.array([len(part) for part in parts])
    short = (lengths < 6) | (lengths % 2 == 1)
    values = _numbers(parts)
    if values is None or short.any():  # rare: look at each part
        found = [_numbers([part]) for part in parts]
        text = np.array([part is None for part in found])
        deep = np.array([list in map(type, part) for part in parts])
        _note(shapes, DEEP, owner[deep])
        _note(shapes, SHORT, owner[short & ~deep])
        _note(shapes, TEXT, owner[text & ~deep])
        sound = np.flatnonzero(~short & ~text)
        if not len(sound):
            return
        parts, owner, lengths = [parts[i] for i in sound], owner[sound], lengths[sound]
        values = np.concatenate([found[i] for i in sound])
    x, y = values[::2], values[1::2]
    starts = np.concatenate([[0], np.cumsum(lengths[:-1] // 2)])
    following = np.arange(1, len(x) + 1)
    following[np.append(starts[1:], len(x)) - 1] = starts
    with np.errstate(over='ignore', invalid='ignore'):
        areas = abs(np.add.reduceat(x * y[following] - x[following] * y, starts)) / 2
    boxes = np.stack(
        [operator.reduceat(v, starts) for operator in (np.minimum, np.maximum) for v in (x, y)], 1
    )
    width, height = sizes[owner].T
    _note(shapes, TEXT, owner[~np.isfinite(boxes).all(1)])
    with np.errstate(invalid='ignore'):
        far = (boxes[:, :2] < -sizes[owner]).any(1) | (boxes[:, 2:] > 2 * sizes[owner]).any(1)
    _note(shapes, FAR, owner[far & np.isfinite(boxes).all(1)])
    outside = (boxes[:, :2] < -OUTSIDE).any(1)
    outside |= (boxes[:, 2] > width + OUTSIDE) | (boxes[:, 3] > height + OUTSIDE)
    np.logical_or.at(shapes.outside, owner, outside)
    thin = (boxes[:, 2:] == boxes[:, :2]).any(1) | (lengths == 6) & (areas == 0)
    np.add.at(shapes.areas, owner, areas)
    shapes.empty[places] = True
    shapes.empty[owner[~thin]] = False
    first = np.flatnonzero(np.diff(owner, prepend=-1))  # parts of an owner follow each other
    ends = (np.minimum, np.minimum, np.maximum, np.maximum)
    shapes.boxes[owner[first]] = np.stack(
        [end.reduceat(column, first) for end, column in zip(ends, boxes.T, strict=True)], 1
    )


def _numbers(parts: Sequence[list]) -> np.ndarray | None:
    """Return all numbers of lists one after the other, None where something else is among them."""
    if not set(map(type, chain.from_iterable(parts))) <= {int, float}:
        return None
    try:
        return np.array(list(chain.from_iterable(parts)), float)
    except OverflowError:
        return None


def _read_runs(
    segmentations: Sequence, places: list[int], sizes: np.ndarray, shapes: Shapes
) -> None:
    sound, counts = [], []
    for i in places:
        width, height = sizes[i].tolist()
        size = segmentations[i].get('size')
        if size != [height, width]:
            swapped = size == [width, height]
            _note(shapes, SWAPPED if swapped else SIZE, np.array([i]))
            continue
        found = _counts(segmentations[i].get('counts'))
        if found is None or (found < 0).any() or found.sum() != height * width:
            _note(shapes, COUNTS, np.array([i]))
            continue
        sound.append(i)
        counts.append(found)
    if not sound:
        return
    owner = np.array(sound)
    lengths = np.array([len(found) for found in counts])
    starts = np.concatenate([[0], np.cumsum(lengths[:-1])])
    runs = np.concatenate(counts)
    ends = np.cumsum(runs)
    ends -= np.repeat(ends[starts] - runs[starts], lengths)
    place = np.arange(len(runs)) - np.repeat(starts, lengths)
    inked = (place % 2 == 1) & (runs > 0)
    shapes.known[owner] = True
    shapes.areas[owner] = np.add.reduceat(np.where(inked, runs, 0), starts)
    shapes.empty[owner] = shapes.areas[owner] == 0
    width, height = np.repeat(sizes[owner], lengths, 0).T
    first, last = (ends - runs), ends - 1
    across = first // height != last // height  # a run over columns touches top and bottom
    sides = (
        (np.minimum, first // height, width), (np.minimum, np.where(across, 0, first % height),
        height), (np.maximum, last // height + 1, 0 * width),
        (np.maximum, np.where(across, height, last % height + 1), 0 * width),
    )  # fmt: skip
    shapes.boxes[owner] = np.stack(
        [end.reduceat(np.where(inked, side, none), starts) for end, side, none in sides], 1
    )


def _counts(found: Any) -> np.ndarray | None:
    """Return run lengths as an array, None where they are none."""
    if type(found) is list:
        if not found or set(map(type, found)) != {int} or not 0 <= max(found) < 2**40:
            return None
        return np.array(found) if min(found) >= 0 else None
    return unpack_counts(found) if type(found) is str else None


def unpack_counts(text: str) -> np.ndarray | None:
    """Return the run lengths of COCO's compressed text, None where it is none.

    Numbers are 5 bits a character, the lowest first, two's complement; from the fourth on they are
    differences to the last but one.
    """
    if not text or not text.isascii():
        return None
    codes = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    if (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.append(0, ends[:-1] + 1)
    digits = ends - starts + 1
    if digits.max() > 8:  # more than 40 bits are no length of a run
        return None
    shift = 5 * (np.arange(len(codes)) - np.repeat(starts, digits))
    values = np.add.reduceat((codes & 31) << shift, starts)
    values -= np.where(codes[ends] & 16, 1 << 5 * digits, 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
