"""Image files are opened here and nowhere else: by a list of formats, none of which runs a program.

Pillow opens far more than photographs, and for EPS it starts Ghostscript on the file, whatever the
file is called. Files that others wrote are therefore opened by :func:`open_image` alone.

A photograph becomes 8-bit RGB by :func:`upright_rgb` alone, by one rule for each property: it is
turned and mirrored as its EXIF orientation says; 16-bit grey is divided by 257, pixels of 32 bits
are refused; alpha is dropped, palette, CMYK, grey and 1-bit pixels are converted by Pillow.
"""

import io
import os
import struct
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmc2fmae.bundled_files import BundledFile, open_file
from mmc2fmae.errors import DatasetError
from mmc2fmae.file_kinds import kind_of
from mmc2fmae.files import AnyPath

FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'AVIF', 'JPEG2000', 'PPM')
"""Names of Pillow's formats that are read; MPO, what phones save, is JPEG to Pillow."""

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file, or one of more than 179 million pixels."""

LARGE_PIXELS = Image.MAX_IMAGE_PIXELS or sys.maxsize
"""From here on Pillow warns of a decompression bomb; at twice as many it refuses."""

LONGEST = 32
"""Of a picture that is more than so many times as long as wide, features see the middle alone."""

_LARGEST_JPEG = 2**28  # bytes; more than 179 million pixels need
_MARK, _SCAN, _HUFFMAN = 0xFF, 0xDA, 0xC4  # ITU-T T.81, table B.1

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 0x0100, 0x0101, 0x0102, 0x0106, 0x0112


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
    return Stored(*image.size, _orientation(image))


def _one_to_eight(value: Any) -> int:
    return value if type(value) is int and 1 <= value <= 8 else 1


def _orientation(image: Image.Image) -> int:
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


def brightest(image: Image.Image) -> int | None:
    """Return the value of white in deep grey pixels (65535), None where these have 8 bits.

    Raises:
        ValueError: Pixels have 32 bits, signed 16 or are fractions: nothing tells what is white.
    """
    if image.mode == 'F' or (image.mode == 'I' and image.format not in ('PNG', 'PPM')):
        kind = 'fractions' if image.mode == 'F' else 'whole numbers of 32 bits or with a sign'
        raise ValueError(
            f'its pixels are {kind} (mode {image.mode}) and nothing tells what is white, expected '
            '8 bits or 16-bit grey: scale them and save them as 8-bit PNG'
        )
    if not image.mode.startswith('I'):
        return None
    bits: int = getattr(image, 'tag_v2', {}).get(_BITS, (16,))[0]
    return (1 << bits) - 1


def nearly_black(image: Image.Image) -> str:
    """Say that deep grey pixels use the lowest quarter of their range alone, '' otherwise.

    Cameras, microscopes and scanners give 10, 12 or 14 bits, which programs store as they are.
    """
    white = brightest(image)
    highest = int(np.asarray(image).max()) if white else 0
    if not white or highest > white // 4:
        return ''
    return (
        f'16-bit grey up to {highest:,} of {white:,}, read as 0 to {highest * 255 // white} of 255'
    )


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return a photograph of :func:`open_image` as 8-bit RGB, turned as its EXIF orientation says.

    Raises:
        OSError: It is damaged.
        ValueError: It is damaged, or see :func:`brightest`.
    """
    white = brightest(image)
    image.load()
    orientation = _orientation(image)
    if white:
        grey = np.asarray(image).astype(np.uint32)
        if getattr(image, 'tag_v2', {}).get(_PHOTOMETRIC) == 0:  # Pillow heeds it in 8 bits alone
            grey = white - grey
        image = Image.fromarray((grey * 255 // white).astype(np.uint8))
    return turn_image(image.convert('RGB'), orientation)


def upright_pixels(image: Image.Image) -> np.ndarray:
    """Return the (h, w, 3) uint8 pixels of :func:`upright_rgb`, of ordinary JPEGs in less time.

    OpenCV decodes those by the same library as Pillow does, without the way through Pillow's four
    bytes a pixel. Whatever is damaged, progressive or converted by Pillow is left to Pillow.

    Raises:
        OSError: It is damaged.
        ValueError: It is damaged, or see :func:`brightest`.
    """
    pixels = _decode_jpeg(image)
    if pixels is None:
        return np.array(upright_rgb(image))
    orientation = _orientation(image)
    return pixels if orientation == 1 else turn(pixels, orientation)


def _whole_jpeg(image: Image.Image) -> bytes | None:
    """Return the file of an 8-bit grey or colour JPEG of one whole scan, None of anything else."""
    file: Any = getattr(image, 'fp', None)
    if image.format not in ('JPEG', 'MPO') or image.mode not in ('L', 'RGB') or file is None:
        return None
    if file.seek(0, os.SEEK_END) > _LARGEST_JPEG:
        return None
    file.seek(0)
    content: bytes = file.read()
    return content if _is_one_scan(content) else None


def ordinary_jpeg(image: Image.Image) -> bytes | None:
    """Return the file of a JPEG that all decoders read alike, None of anything else.

    That is one of 8 bits a channel, grey or YCbCr, in one whole sequential scan, to be shown as it
    is stored.

    Args:
        image: What :func:`open_image` made of the file; its pixels are not read.
    """
    content = _whole_jpeg(image)
    if content is None or _orientation(image) != 1:
        return None
    parts = [part[0] for part in image.layer]  # type: ignore[attr-defined]  # of Pillow's JPEGs
    ycc = parts == [1, 2, 3] and image.info.get('adobe_transform', 1) == 1
    return content if ycc or len(parts) == 1 else None


def _decode_jpeg(image: Image.Image) -> np.ndarray | None:
    """Return the stored pixels of an 8-bit grey or colour JPEG, None where Pillow has to decide."""
    content = _whole_jpeg(image)
    if content is None:
        return None
    import cv2  # here, as many commands read no pixels

    rgb = getattr(cv2, 'IMREAD_COLOR_RGB', None)  # OpenCV before 4.11 knows BGR alone
    if rgb is None:
        return None
    try:
        flags = rgb | cv2.IMREAD_IGNORE_ORIENTATION
        pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None
    return pixels if pixels is not None and pixels.shape[1::-1] == image.size else None


def _is_one_scan(content: bytes) -> bool:
    """Whether one sequential scan runs to the end of a JPEG, without a marker out of place.

    Where it is cut short or a marker is damaged, OpenCV paints grey and says nothing.
    """
    place = 2
    while place + 4 <= len(content) and content[place] == _MARK:
        kind = content[place + 1]
        if kind == _SCAN:
            scan = np.frombuffer(content, np.uint8, offset=place + 2)
            marks = np.flatnonzero(scan[:-1] == _MARK)
            after = scan[marks + 1]
            # A zero is a stuffed byte, D0 to D7 are where decoding may start anew, D9 is the end.
            within = ((after[:-1] == 0) | (after[:-1] >> 3 == 0xD0 >> 3)).all()
            return bool(within and len(marks) and marks[-1] == len(scan) - 2 and after[-1] == 0xD9)
        if 0xC2 <= kind <= 0xCF and kind != _HUFFMAN:  # progressive, arithmetic, lossless
            return False
        place += 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
    return False


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


def middle(width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what a centre crop reads of a picture.

    The whole, or the middle :data:`LONGEST` squares of one that is longer: resized by its shorter
    side, a line of 1 x 12,000 pixels would take gigabytes.
    """
    across = min(width, LONGEST * height)
    down = min(height, LONGEST * width)
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def decode_photograph(
    decode: Callable[..., np.ndarray | None],
    content: bytes,
    flag: str | int = 'color',
    channel_order: str = 'bgr',
    backend: str | None = None,
) -> np.ndarray | None:
    """Decode a photograph for mmcv by the rules of this module, whatever the backend.

    Ordinary photographs are left to mmcv; those that its backends read each in their own way, or
    not at all, are read here. So are all with the backends that know no EXIF orientation.

    Args:
        decode: mmcv's own function.
        content: The file.
        flag: 'color' or 'grayscale'; others (label maps) are left to mmcv.
        channel_order: 'bgr' or 'rgb'.
        backend: As in mmcv.

    Raises:
        OSError: The file is damaged or no image.
        ValueError: It is damaged, or see :func:`brightest`.
    """
    if flag not in ('color', 'grayscale'):
        return decode(content, flag, channel_order, backend)
    with open_image(io.BytesIO(content)) as image:
        ordinary = not brightest(image) and stored(image).orientation == 1
        if ordinary and backend not in ('turbojpeg', 'tifffile'):
            pixels = decode(content, flag, channel_order, backend)
            if pixels is not None:
                return pixels
        rgb = upright_rgb(image)
    if flag == 'grayscale':
        return np.array(rgb.convert('L'))
    pixels = np.array(rgb)
    return pixels if channel_order == 'rgb' else np.ascontiguousarray(pixels[..., ::-1])
