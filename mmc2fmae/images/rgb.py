"""A photograph becomes 8-bit RGB here alone, by one rule for each property of its pixels."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from mmc2fmae.images.jpegs import decode_jpeg
from mmc2fmae.images.opening import open_image
from mmc2fmae.images.orientation import exif_orientation, stored, turn, turn_image

LONGEST = 32
"""Of a picture that is more than so many times as long as wide, features see the middle alone."""

_BITS, _PHOTOMETRIC = 0x0102, 0x0106  # of TIFF


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
    """Return a photograph as 8-bit RGB, turned as its EXIF orientation says.

    The result holds no EXIF data any more, so that nothing turns it again.

    Args:
        image: Of :func:`open_image`, or any other picture in memory.

    Raises:
        OSError: It is damaged.
        ValueError: It is damaged, or see :func:`brightest`.
    """
    white = brightest(image)
    image.load()
    orientation = exif_orientation(image)
    if white:
        grey = np.asarray(image).astype(np.uint32)
        if getattr(image, 'tag_v2', {}).get(_PHOTOMETRIC) == 0:  # Pillow heeds it in 8 bits alone
            grey = white - grey
        image = Image.fromarray((grey * 255 // white).astype(np.uint8))
    rgb = turn_image(image.convert('RGB'), orientation)
    rgb.info.clear()
    return rgb


def upright_middle(image: Image.Image) -> Image.Image:
    """Return what a centre crop reads of a photograph (:func:`middle`), as :func:`upright_rgb`.

    Raises:
        OSError: It is damaged.
        ValueError: It is damaged, or see :func:`brightest`.
    """
    rgb = upright_rgb(image)
    box = middle(*rgb.size)
    return rgb if box == (0, 0, *rgb.size) else rgb.crop(box)


def upright_pixels(image: Image.Image) -> np.ndarray:
    """Return the (h, w, 3) uint8 pixels of :func:`upright_rgb`, of ordinary JPEGs in less time.

    OpenCV decodes those by the same library as Pillow does, without the way through Pillow's four
    bytes a pixel. Whatever is damaged, progressive or converted by Pillow is left to Pillow.

    Raises:
        OSError: It is damaged.
        ValueError: It is damaged, or see :func:`brightest`.
    """
    pixels = decode_jpeg(image)
    if pixels is None:
        return np.array(upright_rgb(image))
    orientation = exif_orientation(image)
    return pixels if orientation == 1 else turn(pixels, orientation)


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
    """Decode a photograph for mmcv by the rules of this package, whatever the backend.

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
