"""Poses the objects of a scene, settles who hides whom, and draws their parts' index map."""

from typing import NamedTuple

import cv2
import numpy as np

from mmc2fmae.scenes.looks import pick
from mmc2fmae.scenes.shapes import SHAPES, Part
from mmc2fmae.scenes.spec import THINGS, SceneSpec

_SHIFT = 4  # fractional bits of the corners given to OpenCV
_TIMES = 3  # drawing is this much finer than the scene; odd, so that pixels have a middle
_MIN_SEEN = 0.006  # share of the image below which a distractor is taken out


class Thing(NamedTuple):
    """An object ready to draw.

    Args:
        category: Index in `THINGS`.
        parts: Its parts, back to front.
        pose: (2, 3), maps the parts' coordinates to pixels of the scene, where
            (0, 0) is the outer corner of the first pixel.
        main: Whether it is the scene's main object.
    """

    category: int
    parts: list[Part]
    pose: np.ndarray
    main: bool


class Canvas(NamedTuple):
    """The objects' parts, drawn back to front at three times the scene's resolution.

    Args:
        parts: uint8 (3 H, 3 W): 0 background, then one number for each part, counted
            through all objects back to front.
        owner: uint8 (256,): part number to 1 + the object's place in the list.
        instance: uint8 (H, W): 0 background, else 1 + the place of the object seen
            in the middle of the pixel.
        things: The objects, back to front.
    """

    parts: np.ndarray
    owner: np.ndarray
    instance: np.ndarray
    things: list[Thing]


def arrange(spec: SceneSpec, rng: np.random.Generator, label: int) -> Canvas:
    """Draw a main object of class `label` with distractors of other classes.

    Distractors that hide too much of the main object, or are hardly seen, are taken out.
    """
    behind: list[Thing] = []
    ahead: list[Thing] = []
    main = _place(spec, rng, label, None)
    others = [c for c in range(len(THINGS)) if c != label]
    for _ in range(int(rng.integers(spec.objects[0], spec.objects[1] + 1)) - 1):
        side = ahead if rng.random() < spec.front else behind
        side.append(_place(spec, rng, pick(rng, others), main))
    things = [*behind, main, *ahead]

    alone = _areas(_draw(spec, [main]))[0] if ahead else 0
    while True:
        canvas = _draw(spec, things)
        seen, at = _areas(canvas), [thing.main for thing in things].index(True)
        out = [k for k, s in enumerate(seen) if k != at and s < _MIN_SEEN * spec.size**2]
        if not out and at + 1 < len(things) and seen[at] < (1 - spec.max_occlusion) * alone:
            out = [len(things) - 1]
        if not out:
            return canvas
        things = [thing for k, thing in enumerate(things) if k not in out]


def _place(spec: SceneSpec, rng: np.random.Generator, category: int, main: Thing | None) -> Thing:
    """Draw an object's parts and pose; `main` is None for the main object itself."""
    parts = SHAPES[THINGS[category]](rng)
    parts = [p for p in parts if not (p.optional and rng.random() < spec.part_dropout)]
    turn = np.deg2rad(rng.uniform(-spec.rotation, spec.rotation))
    stretch = 1 + rng.uniform(-spec.stretch, spec.stretch)
    shear = rng.uniform(-spec.shear, spec.shear)
    flip = 1 if rng.random() < 0.5 else -1
    c, s = np.cos(turn), np.sin(turn)
    a, b, d = flip * stretch, shear, 1 / stretch
    linear = np.array([[c * a, c * b - s * d], [s * a, s * b + c * d]])

    share = rng.uniform(*(spec.distractor_share if main else spec.main_share))
    linear *= spec.size * np.sqrt(share / _area(parts))  # the determinant above is +-1
    corners = _apply(np.concatenate([p.points for p in parts]), linear)
    low, high = corners.min(0), corners.max(0)
    if main is None:
        # Shrink what would stick out of the frame by more than a tenth.
        fit = min(1.0, 1.1 * spec.size / float((high - low).max()))
        linear, low, high = fit * linear, fit * low, fit * high
        slack = np.maximum(spec.size - (high - low), 0) + 0.06 * (high - low)
        centre = spec.size / 2 + rng.uniform(-0.5, 0.5, 2) * slack
    else:
        # Of three places take the one farthest from the main object, so that most are seen.
        places = rng.uniform(0.08, 0.92, (3, 2)) * spec.size
        away = places - main.pose[:, 2]
        centre = places[(away**2).sum(1).argmax()]
    pose = np.column_stack([linear, centre - (low + high) / 2])
    return Thing(category, parts, pose, main is None)


def _apply(points: np.ndarray, linear: np.ndarray) -> np.ndarray:
    # Not `@`: the digits of a matrix product depend on the BLAS at hand.
    x, y = points[:, :1], points[:, 1:]
    return x * linear[:, 0] + y * linear[:, 1]


def _area(parts: list[Part]) -> float:
    """Area of the union of an object's parts in their own units."""
    canvas = np.zeros((104, 104), np.uint8)
    points = np.concatenate([p.points for p in parts])
    _fill(canvas, parts, points * 40 + 52, 1)
    return cv2.countNonZero(canvas) / 1600


def _fill(canvas: np.ndarray, parts: list[Part], points: np.ndarray, first: int) -> None:
    """Fill parts with `first`, `first` + 1, ...; `points` are theirs in pixels, joined."""
    # OpenCV's integer corners are the middles of pixels, hence the half.
    points = np.round((points - 0.5) * 2**_SHIFT).astype(np.int32)
    end = 0
    for number, part in enumerate(parts, first):
        start, end = end, end + len(part.points)
        cv2.fillPoly(canvas, [points[start:end]], number, shift=_SHIFT)


def _areas(canvas: Canvas) -> np.ndarray:
    return np.bincount(canvas.instance.ravel(), minlength=len(canvas.things) + 1)[1:]


def _draw(spec: SceneSpec, things: list[Thing]) -> Canvas:
    index = np.zeros((_TIMES * spec.size, _TIMES * spec.size), np.uint8)
    owner, number = np.zeros(256, np.uint8), 1
    for k, (_, parts, pose, _) in enumerate(things, 1):
        points = _apply(np.concatenate([p.points for p in parts]), pose[:, :2]) + pose[:, 2]
        _fill(index, parts, points * _TIMES, number)
        owner[number : number + len(parts)] = k
        number += len(parts)
    # Labels are sampled, never averaged: crisp, and thin parts do not fall apart.
    middles = np.ascontiguousarray(index[_TIMES // 2 :: _TIMES, _TIMES // 2 :: _TIMES])
    instance = cv2.LUT(middles, owner)
    return Canvas(index, owner, instance, things)
