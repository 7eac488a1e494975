"""Draw a scene: background, objects back to front, light and sensor; and its label maps."""

from typing import NamedTuple

import cv2
import numpy as np

from mmc2fmae.scenes.arrange import Canvas, Thing, arrange
from mmc2fmae.scenes.backdrop import make_backdrop
from mmc2fmae.scenes.looks import LOOKS, draw_colors, draw_texture
from mmc2fmae.scenes.spec import THINGS, SceneSpec
from mmc2fmae.scenes.textures import TEXTURES, Frame


class Scene(NamedTuple):
    """A picture with its labels at three granularities.

    Args:
        rgb: The picture, uint8 (H, W, 3).
        instance: uint8 (H, W): 0 background, 1 the largest visible object, 2 the
            next, and so on without gaps.
        semantic: uint8 (H, W): index in `THINGS`, or len(THINGS) plus the index in
            `STUFF`; every pixel has a class.
        categories: Index in `THINGS` of instance 1, 2, ...
        label: Class of the image: the index in `THINGS` of its main object.
        main: Id of the main object in `instance`; 1 unless the settings allow large distractors.
    """

    rgb: np.ndarray
    instance: np.ndarray
    semantic: np.ndarray
    categories: tuple[int, ...]
    label: int
    main: int


def make_scene(spec: SceneSpec, rng: np.random.Generator, label: int | None = None) -> Scene:
    """Draw one scene.

    Args:
        spec: Settings.
        rng: Source of every draw; equal generators give equal scenes.
        label: Index in `THINGS` of the main object; drawn when None.

    Raises:
        ValueError: `label` is no index in `THINGS`.
    """
    if label is None:
        label = int(rng.integers(len(THINGS)))
    if not 0 <= label < len(THINGS):
        raise ValueError(f'label: got {label!r}, expected 0 to {len(THINGS) - 1}, see THINGS')
    rgb, stuff = make_backdrop(spec, rng, LOOKS[THINGS[label]][2])
    canvas = arrange(spec, rng, label)
    rgb = _expose(spec, rng, _paint(spec, rng, canvas, rgb))

    things, drawn = canvas.things, canvas.instance
    areas = np.bincount(drawn.ravel(), minlength=len(things) + 1)[1:]
    order = np.argsort(-areas, kind='stable')  # ties keep the order of drawing
    ids, classes = np.zeros((2, len(things) + 1), np.uint8)
    ids[1 + order] = np.arange(1, len(things) + 1)
    classes[1:] = [thing.category for thing in things]
    semantic = np.where(drawn > 0, classes[drawn], stuff + np.uint8(len(THINGS)))
    categories = tuple(things[k].category for k in order)
    main = [thing.main for thing in things].index(True)
    return Scene(
        rgb=rgb,
        instance=ids[drawn],
        semantic=semantic,
        categories=categories,
        label=label,
        main=int(ids[1 + main]),
    )


def _paint(
    spec: SceneSpec, rng: np.random.Generator, canvas: Canvas, backdrop: np.ndarray
) -> np.ndarray:
    """Lay the objects, float32 (H, W, 3) in about [0, 1], over the background."""
    size = spec.size
    around = cv2.mean(backdrop)[:3]
    tables = np.zeros((2, 256, 3), np.uint8)  # of each part the colour and the texture's other
    mix, shade = np.zeros((size, size), np.float32), np.ones((size, size), np.float32)
    sun = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(sun), np.sin(sun)]) * rng.uniform(0, 0.6) * spec.lighting
    number = 0
    for k, thing in enumerate(canvas.things, 1):
        colors = draw_colors(spec, rng, THINGS[thing.category], np.array(around))
        pairs = {role: np.clip(np.multiply(c, 255), 0, 255) for role, c in colors.items()}
        for part in thing.parts:
            number += 1
            tables[:, number] = pairs[part.role]
        name = draw_texture(spec, rng, THINGS[thing.category])
        _texture(
            rng, thing, name=name, light=light, mask=canvas.instance == k, mix=mix, shade=shade
        )
    first, second = (_average(cv2.applyColorMap(canvas.parts, t[:, None]), size) for t in tables)
    there = (
        _average(np.where(canvas.parts > 0, 255, 0).astype(np.uint8), size).astype(np.float32) / 255
    )
    front = first + mix[..., None] * (second.astype(np.float32) - first)
    return front * (shade / 255)[..., None] + _shaded(spec, rng, backdrop, there)


def _average(drawn: np.ndarray, size: int) -> np.ndarray:
    """Average a finer drawing, uint8 (3 size, 3 size, ...), over each pixel."""
    return cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)


def _texture(
    rng: np.random.Generator,
    thing: Thing,
    name: str,
    light: np.ndarray,
    mask: np.ndarray,
    mix: np.ndarray,
    shade: np.ndarray,
) -> None:
    """Write an object's texture into `mix` and its shading into `shade` where `mask` is true."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    a, b, c, d = thing.pose[:, :2].ravel()
    det = a * d - b * c
    inverse = np.array([[d, -b], [-c, a]]) / det
    dx, dy = x + 0.5 - thing.pose[0, 2], y + 0.5 - thing.pose[1, 2]
    start = inverse[:, 0] * dx + inverse[:, 1] * dy
    frame = Frame(np.column_stack([inverse, start]), (h, w))
    window = (slice(y, y + h), slice(x, x + w))
    np.copyto(mix[window], TEXTURES[name](frame, rng), where=mask[window])
    # The sun shines from one side of the image, however the object is turned.
    gu, gv = (thing.pose[:, 0] * light).sum(), (thing.pose[:, 1] * light).sum()
    unit = float(np.sqrt(abs(det)))
    lit = np.float32(1) + np.float32(gu / unit) * frame.u + np.float32(gv / unit) * frame.v
    np.copyto(shade[window], np.maximum(lit, 0.3), where=mask[window])


def _shaded(
    spec: SceneSpec, rng: np.random.Generator, backdrop: np.ndarray, there: np.ndarray
) -> np.ndarray:
    """The background under the objects' soft shadow, less what they cover."""
    depth = rng.uniform(0, 0.9) * spec.lighting
    shift = np.round(rng.uniform(-0.05, 0.05, 2) * spec.size)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    soft = cv2.blur(there, (max(spec.size // 16, 3),) * 2)
    soft = cv2.warpAffine(soft, matrix, soft.shape[::-1], flags=cv2.INTER_NEAREST)
    return backdrop * ((1 - there) * (1 - np.float32(depth) * soft))[..., None]


def _expose(spec: SceneSpec, rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """Light, lens and sensor: float32 (H, W, 3) in about [0, 1] to uint8."""
    power = spec.lighting
    gain = 1 + power * rng.uniform(-0.8, 0.6)
    tint = 1 + 0.3 * power * rng.uniform(-1, 1, 3)
    level = 0.45 + 0.4 * power * rng.uniform(-1, 1)
    rgb = (rgb - np.float32(0.45)) * (gain * tint).astype(np.float32) + np.float32(level)
    fall = 0.5 * power * rng.uniform(-1, 1, 2)
    ramp = np.linspace(-0.5, 0.5, spec.size, dtype=np.float32)
    rgb *= (1 + np.float32(fall[0]) * ramp + np.float32(fall[1]) * ramp[:, None])[..., None]
    sigma = rng.uniform(0, spec.blur) * spec.size / 64
    if sigma > 0.2:
        rgb = cv2.GaussianBlur(rgb, (0, 0), sigma)
    noise = rng.standard_normal(rgb.shape, np.float32)
    rgb = rgb + np.float32(rng.uniform(0, spec.noise)) * noise
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
