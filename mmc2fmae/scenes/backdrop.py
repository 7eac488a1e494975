"""The background of a scene: one to four textured regions, each of one stuff class."""

from collections.abc import Callable

import cv2
import numpy as np

from mmc2fmae.scenes.looks import draw_color, pick
from mmc2fmae.scenes.spec import STUFF, SceneSpec
from mmc2fmae.scenes.textures import Frame, courses, wave

_Paint = Callable[[Frame, np.random.Generator], np.ndarray]


def _mix(amount: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    planes = [amount * np.float32(b - a) + np.float32(a) for a, b in zip(low, high, strict=True)]
    return cv2.merge(planes)


def _sky(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    top = draw_color(rng, ((0.53, 0.64), (0.3, 0.75), (0.55, 0.95)))
    if rng.random() < 0.25:  # dawn
        top = draw_color(rng, ((0.92, 1.1), (0.2, 0.6), (0.7, 0.95)))
    fade = np.clip(0.5 + 0.5 * frame.v, 0, 1)
    clouds = np.clip(3 * frame.noise(rng, 0.8, 0.35) - rng.uniform(1.4, 2.6), 0, 1)
    return _mix(np.maximum(0.6 * fade, 0.9 * clouds), top, 0.2 * top + 0.78)


def _water(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    deep = draw_color(rng, ((0.45, 0.64), (0.4, 0.9), (0.25, 0.75)))
    ripple = frame.noise(rng, 0.5, 0.12)
    bands = wave(frame.v + 0.25 * ripple, rng.uniform(0.2, 0.4), rng.uniform(0, 6.28))
    return _mix(bands * ripple, deep, 0.5 * deep + 0.45)


def _grass(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    blade = draw_color(rng, ((0.2, 0.38), (0.4, 0.9), (0.3, 0.75)))
    tufts = 0.7 * frame.noise(rng, 0.06, 0.3) + 0.3 * frame.noise(rng, 0.6, 0.6)
    return _mix(tufts, 0.35 * blade, np.clip(1.25 * blade + 0.1, 0, 1))


def _sand(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    grain = draw_color(rng, ((0.07, 0.14), (0.2, 0.55), (0.6, 0.95)))
    dunes = wave(frame.v + 0.5 * frame.noise(rng, 1.2, 0.6), rng.uniform(0.4, 0.9), 0)
    return _mix(0.5 * frame.noise(rng, 0.04, 0.04) + 0.5 * dunes, 0.68 * grain, grain)


def _brick(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    clay = draw_color(rng, ((0.98, 1.1), (0.2, 0.7), (0.35, 0.8)))
    high = max(rng.uniform(0.16, 0.28), frame.finest)
    lines = courses(frame.u, frame.v, high, 2.4 * high, 0.15)
    wear = 0.45 * frame.noise(rng, 0.3, 0.15)
    return _mix(np.maximum(0.85 * lines, wear), clay, 0.4 * clay + 0.5)


def _tiles(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    slab = draw_color(rng, ((0.0, 1.0), (0.0, 0.3), (0.3, 0.7)))
    u, v = frame.turned(pick(rng, (0.0, np.pi / 4)))
    k = np.float32(np.pi / rng.uniform(0.22, 0.45))
    squares = np.clip(0.5 + 4 * np.sin(k * u + 1) * np.sin(k * v + 1), 0, 1)
    return _mix(0.75 * squares + 0.25 * frame.noise(rng, 0.1, 0.1), slab, 0.55 * slab + 0.4)


_PAINTS: dict[str, _Paint] = {
    'brick': _brick,
    'grass': _grass,
    'sand': _sand,
    'sky': _sky,
    'tiles': _tiles,
    'water': _water,
}


def _pick(spec: SceneSpec, rng: np.random.Generator, usual: tuple[str, ...]) -> list[int]:
    """Stuff classes of the regions, from the top of the image down, all different."""
    count = int(rng.integers(spec.regions[0], spec.regions[1] + 1))
    order = [STUFF[k] for k in rng.permutation(len(STUFF))]
    if rng.random() < spec.context_reliability:
        first = pick(rng, usual)
        order = [first, *(s for s in order if s != first)]
    # Skies belong on top.
    picked = sorted(order[:count], key=lambda name: name != 'sky')
    return [STUFF.index(name) for name in picked]


def make_backdrop(
    spec: SceneSpec, rng: np.random.Generator, usual: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the background.

    Args:
        spec: Settings.
        rng: Source of the draws.
        usual: Stuff classes usual for the main object.

    Returns:
        tuple: RGB, float32 (H, W, 3) in about [0, 1], and the index in `STUFF` of each pixel,
        uint8 (H, W).
    """
    size, stuff = spec.size, _pick(spec, rng, usual)
    scale = 2 / size
    frame = Frame(np.array([[scale, 0, scale / 2 - 1], [0, scale, scale / 2 - 1]]), (size, size))
    rgb = _PAINTS[STUFF[stuff[0]]](frame, rng)
    labels = np.full((size, size), stuff[0], np.uint8)
    if len(stuff) == 1:
        return rgb, labels
    # Borders are wavy and lie across a direction that is mostly, not always, straight down.
    _, across = frame.turned(rng.normal(0, 0.25) if rng.random() < 0.8 else rng.uniform(-1.5, 1.5))
    wobble = rng.uniform(0, 0.35) if rng.random() < 0.6 else 0.03
    across = across + np.float32(wobble) * (frame.noise(rng, 0.5, 0.5) - 0.5)
    step = 1.5 / len(stuff)
    for k, index in enumerate(stuff[1:], 1):
        border = np.float32(-0.75 + (k + rng.uniform(-0.35, 0.35)) * step)
        # The colours blend over one pixel; the labels switch in its middle.
        weight = np.clip((across - border) / scale + 0.5, 0, 1)[..., None]
        rgb += weight * (_PAINTS[STUFF[index]](frame, rng) - rgb)
        labels[across > border] = index
    return rgb, labels
