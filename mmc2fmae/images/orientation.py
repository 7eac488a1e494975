"""How a photograph is to be turned and mirrored: its EXIF orientation, and its upright size."""

import os
import struct
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import AnyPath
from mmc2fmae.images.opening import UNREADABLE, open_image

_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112  # of TIFF and EXIF

BACK = {6: 8, 8: 6}
"""The EXIF orientation that undoes one, where it is another one."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Stored(NamedTuple):
    """A photograph's stored width and height, and its EXIF orientation, 1 to 8."""

    width: int
    height: int
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height once it is turned as EXIF says."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


def upright_size(path: AnyPath) -> tuple[int, int]:
    """Return a photograph's width and height as it is read for training: turned as EXIF says.

    Raises:
        DatasetError: The file is no readable image.
    """
    return stored_size(path).upright


def stored_size(path: AnyPath) -> Stored:
    """Return a photograph's stored size and orientation.

    Raises:
        DatasetError: The file is no readable image.
    """
    try:
        with open_image(path) as image:
            return stored(image)
    except UNREADABLE as error:
        raise DatasetError(f'{path} is no readable image ({error})') from error


def stored(image: Image.Image) -> Stored:
    """Return the stored size and orientation of an image whose pixels are not yet read."""
    if image.format == 'TIFF':  # Pillow turns it by itself and then forgets the orientation
        tags = getattr(image, 'tag_v2', {})
        return Stored(tags[_WIDTH], tags[_HEIGHT], _one_to_eight(tags.get(_ORIENTATION)))
    if _more_follows(image):
        image.load()
    return Stored(*image.size, exif_orientation(image))


def _one_to_eight(value: Any) -> int:
    return value if type(value) is int and 1 <= value <= 8 else 1


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 where there is none, or damage."""
    try:
        # Not the PNG's own method, which decodes it for the sake of what may follow the pixels.
        return _one_to_eight(Image.Image.getexif(image).get(_ORIENTATION))
    except Exception:  # damaged EXIF data, which leave the pixels whole: Pillow raises many kinds
        return 1


def _more_follows(image: Image.Image) -> bool:
    """Whether EXIF data or texts, which may hold some, lie behind the pixels of a PNG."""
    file: Any = getattr(image, 'fp', None)
    if image.format != 'PNG' or file is None:
        return False
    place, kinds = file.tell(), set()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack('>I4s', head)
            if b'IDAT' in kinds and kind in (b'eXIf', b'iTXt', b'zTXt', b'tEXt'):
                return True
            kinds.add(kind)
            file.seek(length + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(place)


def turn_image(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror an image's stored pixels as an EXIF orientation says."""
    method = _TURNS.get(orientation)
    return image if method is None else image.transpose(method)


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror (h, w, ...) stored pixels as an EXIF orientation says, maps in step."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
