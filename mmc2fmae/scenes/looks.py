"""Which colours and textures the classes wear: each cue is shared, so none tells a class alone."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import TypeVar

import numpy as np

from mmc2fmae.scenes.spec import SceneSpec
from mmc2fmae.scenes.textures import TEXTURES

T = TypeVar('T')

# Ranges of hue (turns, may pass 1), saturation and value.
PALETTES = {
    'ember': ((0.96, 1.07), (0.6, 0.95), (0.5, 0.95)),
    'sun': ((0.09, 0.17), (0.5, 0.95), (0.65, 1.0)),
    'leaf': ((0.22, 0.42), (0.4, 0.9), (0.3, 0.8)),
    'sea': ((0.48, 0.66), (0.4, 0.9), (0.4, 0.95)),
    'dusk': ((0.7, 0.92), (0.35, 0.85), (0.4, 0.95)),
    'earth': ((0.04, 0.12), (0.25, 0.65), (0.25, 0.7)),
}

# class: (palettes, textures, usual surroundings)
LOOKS = {
    'beetle': (('ember', 'leaf'), ('gloss', 'spots'), ('grass', 'sand')),
    'bird': (('earth', 'sea'), ('speckle', 'waves'), ('sky', 'grass')),
    'boat': (('sun', 'leaf'), ('bricks', 'waves'), ('water', 'sky')),
    'bus': (('ember', 'sun'), ('gloss', 'stripes'), ('tiles', 'brick')),
    'butterfly': (('dusk', 'sun'), ('rings', 'spots'), ('grass', 'sky')),
    'car': (('dusk', 'sea'), ('checks', 'gloss'), ('tiles', 'sand')),
    'fish': (('ember', 'sea'), ('scales', 'stripes'), ('water', 'sand')),
    'house': (('earth', 'sun'), ('bricks', 'speckle'), ('grass', 'sky')),
    'kite': (('dusk', 'ember'), ('checks', 'stripes'), ('sky', 'sand')),
    'turtle': (('earth', 'leaf'), ('rings', 'scales'), ('water', 'sand')),
}

_NEUTRAL = {
    'dark': ((0.0, 1.0), (0.0, 0.35), (0.05, 0.28)),
    'light': ((0.0, 1.0), (0.0, 0.12), (0.8, 1.0)),
    'glass': ((0.5, 0.62), (0.1, 0.45), (0.25, 0.9)),
    'wood': ((0.05, 0.14), (0.3, 0.8), (0.3, 0.85)),
}


def draw_color(rng: np.random.Generator, ranges: tuple[tuple[float, float], ...]) -> np.ndarray:
    """An RGB colour, float64 (3,) in [0, 1], uniform within ranges of hue, saturation, value."""
    h, s, v = (a + (b - a) * x for (a, b), x in zip(ranges, rng.random(3).tolist(), strict=True))
    return np.array(hsv_to_rgb(h % 1, s, v))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of `options`, all alike likely; much faster than `rng.choice`."""
    return options[int(rng.integers(len(options)))]


def draw_texture(spec: SceneSpec, rng: np.random.Generator, name: str) -> str:
    """The name of a texture for an object of class `name`."""
    own = rng.random() < spec.texture_reliability
    return pick(rng, LOOKS[name][1] if own else tuple(TEXTURES))


def draw_colors(
    spec: SceneSpec, rng: np.random.Generator, name: str, around: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The two colours of each role of an object's parts; a texture mixes the second into the first.

    Args:
        spec: Settings.
        rng: Source of the draws.
        name: Class of the object.
        around: Mean colour of the background, (3,) in [0, 1].

    Returns:
        dict: Role to two RGB colours, float64 (3,) each, in about [0, 1].
    """
    own = rng.random() < spec.color_reliability
    ranges = PALETTES[pick(rng, LOOKS[name][0] if own else tuple(PALETTES))]
    blend, contrast = rng.uniform(0, spec.camouflage), rng.uniform(*spec.texture_contrast)
    base = draw_color(rng, ranges)
    # The texture's other colour: lighter, darker, or from any palette.
    any_palette = pick(rng, tuple(PALETTES.values()))
    other = pick(
        rng,
        (0.25 * base, 0.35 * base + 0.65, draw_color(rng, ranges), draw_color(rng, any_palette)),
    )
    accent = draw_color(rng, ranges) if rng.random() < 0.6 else 0.5 * (base + other)
    base, other, accent = ((1 - blend) * c + blend * around for c in (base, other, accent))
    mixed = (1 - contrast) * base + contrast * other
    wing = rng.uniform(0.65, 1.15)
    colors = {
        'body': (base, mixed),
        'wing': (wing * base, wing * mixed),
        'accent': (accent, accent),
    }
    for role, neutral in _NEUTRAL.items():
        color = draw_color(rng, neutral)
        colors[role] = (color, color)
    return colors
