"""Photographs as the labelling models see them: as stored, never larger than needed."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmc2fmae.errors import SampleError
from mmc2fmae.images import UNREADABLE, open_image

MAX_SIDE = 1333
"""Longest side in pixels that any of the models looks at (Grounding DINO's limit)."""


class Photograph(NamedTuple):
    """A photograph at working size.

    Args:
        pixels: (h, w, 3) uint8 RGB, at most :data:`MAX_SIDE` on its long side.
        width: Stored width in pixels; the maps get this size.
        height: Stored height.
    """

    pixels: np.ndarray
    width: int
    height: int


def read_photograph(path: str | Path) -> Photograph:
    """Read a photograph in its stored orientation, as pre-training does, at working size.

    Args:
        path: Image file; greyscale, palette, alpha and CMYK are converted. A JPEG that is much too
            large is decoded at a fraction of its size.

    Raises:
        SampleError: The file is empty, truncated, no image, or larger than Pillow's limit against
            decompression bombs (179 million pixels).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with open_image(path) as image:
                width, height = image.size
                share = MAX_SIDE / max(width, height)
                if share < 1:
                    size = (max(round(width * share), 1), max(round(height * share), 1))
                    image.draft(None, size)
                    image = image.convert('RGB').resize(size, Image.Resampling.BICUBIC)
                return Photograph(np.array(image.convert('RGB')), width, height)
    except UNREADABLE as error:
        raise SampleError(f'{path} cannot be read ({error})') from error
