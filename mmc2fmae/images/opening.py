"""Opens images by a list of formats, none of which runs a program."""

import os
import sys
from functools import cache
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from mmc2fmae.bundled_files import BundledFile, open_file
from mmc2fmae.file_kinds import kind_of
from mmc2fmae.files import AnyPath

FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'AVIF', 'JPEG2000', 'PPM')
"""Names of Pillow's formats that are read; MPO, what phones save, is JPEG to Pillow."""

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file, or one of more than 179 million pixels."""

LARGE_PIXELS = Image.MAX_IMAGE_PIXELS or sys.maxsize
"""From here on Pillow warns of a decompression bomb; at twice as many it refuses."""


def open_image(source: AnyPath | BinaryIO) -> Image.Image:
    """Open an image of one of :data:`FORMATS`; as with Pillow's own function, pixels come later.

    Args:
        source: Path, a file of a shard included, or an open binary file.

    Raises:
        UnidentifiedImageError: The file is of another format, named where it is known, or none.
        OSError: It cannot be read.
        PIL.Image.DecompressionBombError: It has more than 179 million pixels.
    """
    try:
        # Of a path Pillow opens, maps and closes the file itself.
        inside = open_file(source) if isinstance(source, BundledFile) else source
        image = Image.open(inside, formats=_formats())
        if image.format == 'TIFF':
            image.filename = ''  # Pillow would map the file with the sides of the turned picture
        return image
    except UnidentifiedImageError:
        raise UnidentifiedImageError(_describe(source)) from None


@cache
def _formats() -> tuple[str, ...]:
    Image.init()  # Pillow before 11.3 has no AVIF, and stops at a name that it does not know
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _describe(source: AnyPath | BinaryIO) -> str:
    if isinstance(source, str | os.PathLike):
        with open_file(source) as file:
            start = file.read(64)
    else:
        source.seek(0)
        start = source.read(64)
    if not start:
        return 'empty file'
    found, _ = kind_of(start)
    what = f'{found} inside, no image' if found else 'no image'
    return f'{what} of a format that is read ({", ".join(FORMATS)})'


_ENDS = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND\xaeB`\x82'}


def ends_whole(path: AnyPath, image: Image.Image) -> bool | None:
    """Whether a file ends as its format does, None for formats of no certain end.

    Args:
        path: The file.
        image: What :func:`open_image` made of it.
    """
    end = _ENDS.get(image.format or '')
    if end is None:
        return None
    with open_file(path) as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 64, 0))
        tail = file.read().rstrip(b'\0')  # some programs append zeros
    return tail.endswith(end)
