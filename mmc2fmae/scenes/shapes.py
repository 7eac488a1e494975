"""The outlines of the ten thing classes: each a list of parts, drawn back to front."""

from collections.abc import Callable
from math import cos, hypot, sin
from typing import NamedTuple

import numpy as np

# Roles decide the colours. 'body' and 'wing' are textured with the object's own palette;
# 'accent' is the palette's second colour, plain; the others are neutral.
ROLES = ('body', 'wing', 'accent', 'dark', 'light', 'glass', 'wood')

_TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


class Part(NamedTuple):
    """A filled polygon of an object.

    Args:
        points: Corners, float64 (P, 2), x right and y down, about [-1, 1].
        role: One of `ROLES`.
        optional: Whether the class is still itself without this part.
    """

    points: np.ndarray
    role: str
    optional: bool = False


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> np.ndarray:
    """Corners (24, 2) of an ellipse turned by `turn` radians."""
    points = _CIRCLE * (rx, ry)
    if turn:
        c, s = cos(turn), sin(turn)
        points = points[:, :1] * (c, s) + points[:, 1:] * (-s, c)
    return np.add(points, (x, y))


def box(x0: float, y0: float, x1: float, y1: float, cut: float = 0.0) -> np.ndarray:
    """Corners of an upright rectangle, (8, 2) with its corners cut off by `cut`, else (4, 2)."""
    if not cut:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    xs = (x0 + cut, x1 - cut, x1, x1, x1 - cut, x0 + cut, x0, x0)
    ys = (y0, y0, y0 + cut, y1 - cut, y1, y1, y1 - cut, y0 + cut)
    return np.array((xs, ys)).T


def bar(x0: float, y0: float, x1: float, y1: float, width: float) -> np.ndarray:
    """Corners (4, 2) of a straight limb between two points."""
    dx, dy = x1 - x0, y1 - y0
    k = width / 2 / max(hypot(dx, dy), 1e-6)
    nx, ny = -dy * k, dx * k
    return poly((x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny))


def poly(*corners: tuple[float, float]) -> np.ndarray:
    """Corners (P, 2) as an array."""
    return np.array(corners, float)


def _eye(x: float, y: float, r: float = 0.09) -> list[Part]:
    return [
        Part(ellipse(x, y, r, r), 'light', True),
        Part(ellipse(x, y, 0.55 * r, 0.55 * r), 'dark', True),
    ]


def _wheels(xs: tuple[float, ...], y: float, r: float) -> list[Part]:
    tyres = [Part(ellipse(x, y, r, r), 'dark', True) for x in xs]
    return tyres + [Part(ellipse(x, y, 0.45 * r, 0.45 * r), 'light', True) for x in xs]


def beetle(rng: np.random.Generator) -> list[Part]:
    """Seen from above: an oval with a wing seam, a head, feelers and six legs."""
    w, reach = rng.uniform(0.5, 0.66), rng.uniform(0.85, 1.0)
    parts = []
    for side in (-1, 1):
        for y, lift in ((-0.3, -0.2), (0.1, 0.05), (0.5, 0.3)):
            parts.append(Part(bar(side * 0.3, y, side * reach, y + lift, 0.11), 'dark', True))
        parts.append(Part(bar(side * 0.1, -0.75, side * 0.4, -1.15, 0.08), 'dark', True))
    parts.append(Part(ellipse(0, -0.68, 0.5 * w, 0.26), 'accent' if rng.random() < 0.4 else 'dark'))
    parts.append(Part(ellipse(0, 0.15, w, 0.78), 'body'))
    parts.append(Part(bar(0, -0.55, 0, 0.9, 0.07), 'dark', True))
    return parts


def turtle(rng: np.random.Generator) -> list[Part]:
    """Seen from above: a round shell with an inner plate, a head, four flippers and a tail."""
    w, out = rng.uniform(0.58, 0.74), rng.uniform(0.5, 0.62)
    parts = [Part(poly((-0.1, 0.6), (0, 1.05), (0.1, 0.6)), 'accent', True)]
    for side in (-1, 1):
        parts.append(Part(ellipse(side * out, -0.45, 0.34, 0.17, side * -0.7), 'accent', True))
        parts.append(Part(ellipse(side * out, 0.55, 0.3, 0.16, side * 0.7), 'accent', True))
    parts.append(Part(ellipse(0, -0.85, 0.22, 0.28), 'accent'))
    parts += _eye(-0.1, -0.95, 0.06) + _eye(0.1, -0.95, 0.06)
    parts.append(Part(ellipse(0, 0.05, w, 0.74), 'wing'))
    parts.append(Part(ellipse(0, 0.05, 0.78 * w, 0.57), 'body'))
    return parts


def butterfly(rng: np.random.Generator) -> list[Part]:
    """Four wings around a thin body, with feelers."""
    upper, lower, spread = rng.uniform(0.42, 0.55), rng.uniform(0.32, 0.42), rng.uniform(0.45, 0.55)
    parts = []
    for side in (-1, 1):
        parts.append(Part(bar(side * 0.05, -0.6, side * 0.3, -1.0, 0.07), 'dark', True))
        parts.append(Part(ellipse(side * 0.42, 0.45, lower, 0.36, side * 0.7), 'wing'))
        parts.append(Part(ellipse(side * spread, -0.28, upper, 0.42, side * -0.6), 'body'))
        parts.append(Part(ellipse(side * 0.45, 0.48, 0.14, 0.12), 'accent', True))
        parts.append(Part(ellipse(side * 0.58, -0.32, 0.17, 0.14), 'accent', True))
    parts.append(Part(ellipse(0, 0.02, 0.1, 0.62), 'dark'))
    return parts


def kite(rng: np.random.Generator) -> list[Part]:
    """A diamond of four panels with crossed spars and a tail of bows."""
    w, mid, low = rng.uniform(0.62, 0.8), rng.uniform(-0.45, -0.15), rng.uniform(0.6, 0.75)
    swing = rng.uniform(-0.25, 0.25)
    top, bottom = (0, -1.0), (0, low)
    parts = [
        Part(bar(*bottom, swing, low + 0.22, 0.06), 'dark'),
        Part(bar(swing, low + 0.22, -swing, low + 0.45, 0.06), 'dark'),
    ]
    for x, y in ((swing, low + 0.22), (-swing, low + 0.45)):
        for end in (-0.16, 0.16):
            bow = poly((x, y), (x + end, y - 0.1), (x + end, y + 0.1))
            parts.append(Part(bow, 'accent', True))
    parts.append(Part(poly(top, (w, mid), bottom, (-w, mid)), 'body'))
    if rng.random() < 0.6:
        parts.append(Part(poly(top, (w, mid), (0, mid)), 'accent', True))
        parts.append(Part(poly(bottom, (-w, mid), (0, mid)), 'accent', True))
    parts.append(Part(bar(*top, *bottom, 0.06), 'wood', True))
    parts.append(Part(bar(-w, mid, w, mid, 0.06), 'wood', True))
    return parts


def fish(rng: np.random.Generator) -> list[Part]:
    """An oval with a forked tail, fins, a gill and an eye; it looks right."""
    h, fork = rng.uniform(0.42, 0.6), rng.uniform(0.3, 0.5)
    fin = h + rng.uniform(0.15, 0.3)
    return [
        Part(poly((-0.45, 0), (-1.0, -fork), (-0.85, 0), (-1.0, fork)), 'accent'),
        Part(poly((-0.35, -0.6 * h), (0.1, -fin), (0.4, -0.6 * h)), 'accent', True),
        Part(poly((-0.3, 0.7 * h), (-0.1, fin), (0.2, 0.7 * h)), 'accent', True),
        Part(ellipse(0.12, 0, 0.78, h), 'body'),
        Part(poly((0.05, 0.02), (-0.28, 0.3 * h), (0.08, 0.4 * h)), 'accent', True),
        Part(bar(0.4, -0.55 * h, 0.36, 0.55 * h, 0.06), 'dark', True),
        *_eye(0.62, -0.2 * h, 0.1),
    ]


def bird(rng: np.random.Generator) -> list[Part]:
    """An oval with a round head, beak, fanned tail, folded wing and legs; it looks right."""
    h, tilt, neck = rng.uniform(0.38, 0.52), rng.uniform(-0.45, -0.1), rng.uniform(0.4, 0.58)
    return [
        Part(bar(0.0, 0.3, 0.05, 0.95, 0.07), 'wood', True),
        Part(bar(0.2, 0.3, 0.28, 0.95, 0.07), 'wood', True),
        Part(poly((-0.35, -0.05), (-1.05, 0.1), (-1.0, 0.42), (-0.3, 0.3)), 'wing'),
        Part(poly((0.75, -neck - 0.12), (1.08, -neck + 0.03), (0.75, -neck + 0.12)), 'wood', True),
        Part(ellipse(0.58, -neck, 0.28, 0.27), 'accent' if rng.random() < 0.5 else 'body'),
        Part(ellipse(0.05, 0.08, 0.7, h, tilt), 'body'),
        Part(ellipse(-0.12, 0.06, 0.46, 0.55 * h, tilt - 0.15), 'wing', True),
        *_eye(0.66, -neck - 0.05, 0.08),
    ]


def bus(rng: np.random.Generator) -> list[Part]:
    """A long box with a row of windows, a band and two wheels."""
    top, count = rng.uniform(-0.62, -0.48), int(rng.integers(3, 5))
    parts = [Part(box(-0.98, top, 0.98, 0.45, 0.09), 'body')]
    if rng.random() < 0.6:
        parts.append(Part(box(-0.98, 0.08, 0.98, 0.2), 'accent', True))
    step = 1.7 / count
    for k in range(count):
        x = -0.85 + k * step
        tall = 0.35 if k == count - 1 and rng.random() < 0.6 else -0.06
        parts.append(Part(box(x, top + 0.14, x + 0.8 * step, tall), 'glass', True))
    return parts + _wheels((-0.55, 0.55), 0.48, rng.uniform(0.19, 0.25))


def car(rng: np.random.Generator) -> list[Part]:
    """A low body under a cabin with two windows, two wheels and a lamp."""
    top, left, right = rng.uniform(-0.62, -0.48), rng.uniform(-0.8, -0.55), rng.uniform(0.35, 0.6)
    bonnet = rng.uniform(-0.1, 0.0)
    front = (-0.04, top + 0.12), (right - 0.3, top + 0.12), (right - 0.14, bonnet), (-0.04, bonnet)
    cabin = ((left, bonnet), (left + 0.2, top), (right - 0.28, top), (right, bonnet))
    return [
        Part(poly(*cabin), 'wing'),
        Part(box(-1.0, bonnet - 0.03, 1.0, 0.42, 0.12), 'body'),
        Part(box(left + 0.2, top + 0.12, -0.14, bonnet - 0.02), 'glass', True),
        Part(poly(*front), 'glass', True),
        Part(ellipse(0.9, bonnet + 0.15, 0.08, 0.08), 'light', True),
        *_wheels((-0.55, 0.55), 0.42, rng.uniform(0.22, 0.28)),
    ]


def house(rng: np.random.Generator) -> list[Part]:
    """A box under a pointed or flat roof, with a door, windows and a chimney."""
    eaves, half = rng.uniform(-0.3, -0.1), rng.uniform(0.66, 0.85)
    roof = poly((-half - 0.14, eaves), (rng.uniform(-0.3, 0.3), -0.98), (half + 0.14, eaves))
    if rng.random() < 0.3:
        roof = box(-half - 0.08, eaves - 0.3, half + 0.08, eaves)
    door = rng.uniform(-0.5, 0.2)
    parts = [
        Part(box(0.3, -0.85, 0.52, eaves), 'wood', True),
        Part(box(-half, eaves, half, 0.85), 'body'),
        Part(roof, 'accent'),
        Part(box(door, 0.25, door + 0.32, 0.85), 'wood', True),
    ]
    for x in (door - 0.36, door + 0.42):
        if -half < x < half - 0.26:
            parts.append(Part(box(x, 0.02, x + 0.28, 0.3), 'glass', True))
    return parts


def boat(rng: np.random.Generator) -> list[Part]:
    """A hull with a mast and one or two sails, or with a cabin."""
    deck, lean = rng.uniform(0.25, 0.4), rng.uniform(0.15, 0.35)
    hull = poly((-1.0, deck), (1.0, deck), (1.0 - lean, 0.88), (-1.0 + 1.3 * lean, 0.88))
    parts = [
        Part(hull, 'body'),
        Part(bar(-0.95, deck + 0.1, 0.95, deck + 0.1, 0.08), 'accent', True),
    ]
    if rng.random() < 0.3:
        parts.insert(0, Part(box(-0.55, -0.3, 0.45, deck, 0.08), 'wing'))
        parts += [Part(box(x, -0.12, x + 0.22, 0.1), 'glass', True) for x in (-0.4, -0.05)]
        return [Part(box(0.05, -0.7, 0.3, -0.25), 'accent', True), *parts]
    mast = rng.uniform(-0.2, 0.1)
    sail = poly((mast, -0.98), (mast + rng.uniform(0.65, 0.85), deck - 0.1), (mast, deck - 0.1))
    jib = poly((mast - 0.06, -0.75), (mast - 0.06, deck - 0.1), (mast - 0.66, deck - 0.1))
    return [
        Part(bar(mast, -1.0, mast, deck, 0.09), 'wood'),
        Part(sail, 'wing'),
        Part(jib, 'light' if rng.random() < 0.5 else 'wing', True),
        *parts,
    ]


SHAPES: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    f.__name__: f for f in (beetle, bird, boat, bus, butterfly, car, fish, house, kite, turtle)
}
