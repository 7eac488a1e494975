"""Image files are opened here and nowhere else: by a list of formats, none of which runs a program.

Pillow opens far more than photographs, and for EPS it starts Ghostscript on the file, whatever the
file is called. Files that others wrote are therefore opened by :func:`open_image` alone.
"""

import os
import sys
from functools import cache
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import AnyPath

FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'AVIF', 'JPEG2000', 'PPM')
"""Names of Pillow's formats that are read; MPO, what phones save, is JPEG to Pillow."""

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file, or one of more than 179 million pixels."""

LARGE_PIXELS = Image.MAX_IMAGE_PIXELS or sys.maxsize
"""From here on Pillow warns of a decompression bomb; at twice as many it refuses."""

# First bytes of what is often taken for a picture, for the message alone.
_OTHERS = {
    b'%!PS': 'PostScript (EPS)',
    b'\xc5\xd0\xd3\xc6': 'PostScript (EPS)',
    b'%PDF': 'PDF',
    b'\xd7\xcd\xc6\x9a': 'WMF',
    b'<svg': 'SVG',
    b'<?xml': 'SVG or another XML',
    b'<!DOC': 'HTML',
    b'<html': 'HTML',
    b'8BPS': 'Photoshop (PSD)',
    b'PK\x03\x04': 'zip',
    b'version https://git-lfs': 'a pointer of Git LFS',
}


def open_image(source: AnyPath | BinaryIO) -> Image.Image:
    """Open an image of one of :data:`FORMATS`; as with Pillow's own function, pixels come later.

    Args:
        source: Path, or an open binary file.

    Raises:
        UnidentifiedImageError: The file is of another format, named where it is known, or none.
        OSError: It cannot be read.
        PIL.Image.DecompressionBombError: It has more than 179 million pixels.
    """
    try:
        return Image.open(source, formats=_formats())
    except UnidentifiedImageError:
        raise UnidentifiedImageError(_describe(source)) from None


@cache
def _formats() -> tuple[str, ...]:
    Image.init()  # Pillow before 11.3 has no AVIF, and stops at a name that it does not know
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _describe(source: AnyPath | BinaryIO) -> str:
    if isinstance(source, str | os.PathLike):
        with open(source, 'rb') as file:
            start = file.read(64)
    else:
        source.seek(0)
        start = source.read(64)
    if not start:
        return 'empty file'
    found = next((name for magic, name in _OTHERS.items() if start.lstrip().startswith(magic)), '')
    what = f'{found} inside, no image' if found else 'no image'
    return f'{what} of a format that is read ({", ".join(FORMATS)})'


def upright_size(path: AnyPath) -> tuple[int, int]:
    """Return a photograph's width and height as it is read for training: turned as EXIF says.

    Raises:
        DatasetError: The file is no readable image.
    """
    width, height, turned = stored_size(path)
    return (height, width) if turned else (width, height)


def stored_size(path: AnyPath) -> tuple[int, int, bool]:
    """Return a photograph's stored width and height, and whether EXIF turns it by a quarter.

    Raises:
        DatasetError: The file is no readable image.
    """
    try:
        with open_image(path) as image:
            return *image.size, image.getexif().get(0x0112, 1) >= 5
    except UNREADABLE as error:
        raise DatasetError(f'{path} is no readable image ({error})') from error
