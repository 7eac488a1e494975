"""Photographs as the labelling models see them: upright, never larger than needed."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmc2fmae.errors import SampleError
from mmc2fmae.images.opening import UNREADABLE, open_image
from mmc2fmae.images.orientation import BACK, stored, turn
from mmc2fmae.images.rgb import upright_rgb

MAX_SIDE = 1333
"""Longest side in pixels that any of the models looks at (Grounding DINO's limit)."""


class Photograph(NamedTuple):
    """A photograph at working size.

    Args:
        pixels: (h, w, 3) uint8 RGB, at most :data:`MAX_SIDE` on its long side, upright.
        width: Stored width in pixels; the maps get this size.
        height: Stored height.
        orientation: EXIF orientation; the maps show the stored pixels.
    """

    pixels: np.ndarray
    width: int
    height: int
    orientation: int = 1

    def as_stored(self, labels: np.ndarray) -> np.ndarray:
        """Turn an (h, w) map of the upright picture back to the stored pixels."""
        return turn(labels, BACK.get(self.orientation, self.orientation))

    def box_as_stored(self, box: Sequence[float]) -> list[float]:
        """Return a box x1, y1, x2, y2 of the upright working size in stored pixels."""
        (height, width), (x1, y1, x2, y2) = self.pixels.shape[:2], box
        if self.orientation in (2, 3, 6, 7):
            x1, x2 = width - x2, width - x1
        if self.orientation in (3, 4, 7, 8):
            y1, y2 = height - y2, height - y1
        if self.orientation >= 5:
            x1, y1, x2, y2, width, height = y1, x1, y2, x2, height, width
        across, down = self.width / width, self.height / height
        return [x1 * across, y1 * down, x2 * across, y2 * down]


def read_photograph(path: str | Path) -> Photograph:
    """Read a photograph upright at working size.

    Args:
        path: Image file; a JPEG that is much too large is decoded at a fraction of its size.

    Raises:
        SampleError: The file is empty, truncated, no image, of 32-bit pixels, or larger than
            Pillow's limit against decompression bombs (179 million pixels).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with open_image(path) as image:
                header = stored(image)
                share = MAX_SIDE / max(image.size)
                if share < 1:
                    image.draft(None, _scaled(header[:2], share))
                rgb = upright_rgb(image)
                if share < 1:
                    rgb = rgb.resize(_scaled(header.upright, share), Image.Resampling.BICUBIC)
                return Photograph(np.array(rgb), *header)
    except UNREADABLE as error:
        raise SampleError(f'{path} cannot be read ({error})') from error


def _scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    return max(round(size[0] * share), 1), max(round(size[1] * share), 1)
