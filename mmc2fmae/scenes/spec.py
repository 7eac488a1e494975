"""What a built-in scene is made of: class names, colours and the difficulty settings."""

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

# Sorted, so that the class index of an ImageNet-style folder loader equals the index in THINGS.
THINGS = (
    'beetle',
    'bird',
    'boat',
    'bus',
    'butterfly',
    'car',
    'fish',
    'house',
    'kite',
    'turtle',
)
STUFF = ('brick', 'grass', 'sand', 'sky', 'tiles', 'water')

# RGB colour of each semantic class, things first, for pictures of label maps.
PALETTE = (
    (178, 34, 34),
    (255, 140, 0),
    (128, 0, 128),
    (255, 215, 0),
    (255, 105, 180),
    (220, 20, 60),
    (0, 206, 209),
    (139, 69, 19),
    (148, 0, 211),
    (34, 139, 34),
    (205, 133, 112),
    (124, 200, 80),
    (238, 214, 175),
    (135, 206, 235),
    (169, 169, 169),
    (30, 80, 200),
)

MAX_OBJECTS = 8


@dataclass(frozen=True)
class SceneSpec:
    """Settings of the scene generator; every field is checked on construction.

    Args:
        size: Height and width of a scene in pixels, 32 to 512.
        objects: Least and most objects asked for in a scene, main one included.
            Fewer may remain, since distractors that end up hidden are removed.
        regions: Least and most stuff regions of the background.
        main_share: Share of the image's area that the main object is
            scaled to, before parts of it leave the frame or are occluded.
        distractor_share: The same for each of the other objects.
        max_occlusion: Most of the main object's area that distractors may hide.
        front: Probability that a distractor stands in front of the main object.
        rotation: Largest rotation of an object in degrees, both ways.
        shear: Largest shear of an object, both ways.
        stretch: Largest change of an object's aspect ratio, e.g. 0.25 for +-25 %.
        color_reliability: Probability that an object wears a palette of its class,
            rather than any palette. Palettes are shared by three or four classes.
        texture_reliability: The same for textures, shared by two or three classes.
        context_reliability: Probability that the background shows a stuff class usual
            for the main object, rather than any.
        part_dropout: Probability that an optional part (wheel, leg, window...) is missing.
        texture_contrast: Strength of an object's texture, 0 to 1.
        camouflage: Largest share of the background's mean colour in an object's colours.
        lighting: Strength of changes in brightness, contrast, tint and shading.
        noise: Largest standard deviation of the sensor noise, in units of full range.
        blur: Largest standard deviation of the blur, in pixels of a 64-pixel scene.

    Raises:
        ValueError: A field is of the wrong type or out of range; the message names it.
    """

    size: int = 64
    objects: tuple[int, int] = (1, 4)
    regions: tuple[int, int] = (1, 3)
    main_share: tuple[float, float] = (0.3, 0.55)
    distractor_share: tuple[float, float] = (0.03, 0.09)
    max_occlusion: float = 0.2
    front: float = 0.4
    rotation: float = 20.0
    shear: float = 0.1
    stretch: float = 0.15
    color_reliability: float = 0.75
    texture_reliability: float = 0.85
    context_reliability: float = 0.3
    part_dropout: float = 0.05
    texture_contrast: tuple[float, float] = (0.35, 1.0)
    camouflage: float = 0.15
    lighting: float = 0.25
    noise: float = 0.03
    blur: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), _LIMITS[field.name]
            default: Any = field.default
            pair = isinstance(default, tuple)
            whole = isinstance(default[0] if pair else default, int)
            kind = Integral if whole else Real
            parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
            good = (
                isinstance(value, (tuple, list)) == pair
                and len(parts) == (2 if pair else 1)
                and all(isinstance(p, kind) and not isinstance(p, bool) for p in parts)
                and all(low <= p <= high for p in parts)
                and parts[0] <= parts[-1]
            )
            if not good:
                noun = 'integer' if whole else 'number'
                wanted = f'two {noun}s (least, most)' if pair else f'one {noun}'
                raise ValueError(
                    f'SceneSpec.{field.name}: got {value!r}, expected {wanted} from {low} to {high}'
                    f'; the default is {field.default!r}'
                )
            # Plain Python numbers, so that equal settings have equal JSON and equal hashes.
            plain = tuple((int if whole else float)(p) for p in parts)
            object.__setattr__(self, field.name, plain if pair else plain[0])


_LIMITS = {
    'size': (32, 512),
    'objects': (1, MAX_OBJECTS),
    'regions': (1, 4),
    'main_share': (0.1, 0.7),
    'distractor_share': (0.01, 0.2),
    'max_occlusion': (0.0, 0.9),
    'front': (0.0, 1.0),
    'rotation': (0.0, 180.0),
    'shear': (0.0, 0.5),
    'stretch': (0.0, 0.5),
    'color_reliability': (0.0, 1.0),
    'texture_reliability': (0.0, 1.0),
    'context_reliability': (0.0, 1.0),
    'part_dropout': (0.0, 1.0),
    'texture_contrast': (0.0, 1.0),
    'camouflage': (0.0, 0.8),
    'lighting': (0.0, 1.0),
    'noise': (0.0, 0.3),
    'blur': (0.0, 4.0),
}
