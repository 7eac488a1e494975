"""Read photographs and label maps; whatever is wrong with a file is said with its name."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from mmc2fmae.bundled_files import file_size, open_file
from mmc2fmae.datasets.encoded import EncodedPhotograph
from mmc2fmae.errors import SampleError
from mmc2fmae.images.jpegs import ordinary_jpeg
from mmc2fmae.images.opening import UNREADABLE, open_image
from mmc2fmae.images.orientation import stored
from mmc2fmae.images.rgb import upright_pixels, upright_rgb
from mmc2fmae.label_maps import MOST_BYTES, decode_colours, decode_ids

CONTINUOUS_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B')


def read_rgb(path: str) -> Image.Image:
    """Read a photograph as 8-bit RGB, turned as its EXIF orientation says.

    Args:
        path: Image file.

    Returns:
        Decoded image in mode 'RGB'.

    Raises:
        SampleError: The file is missing, truncated, no image, or has pixels of 32 bits.
    """
    try:
        with open_image(path) as image:
            return upright_rgb(image)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_turned(path: str) -> tuple[np.ndarray, int]:
    """Read the pixels of :func:`read_rgb`; return the EXIF orientation that they had, too.

    Returns:
        (h, w, 3) uint8 pixels, turned as the orientation, 1 to 8, says.

    Raises:
        SampleError: As :func:`read_rgb`.
    """
    try:
        with open_image(path) as image:
            orientation = stored(image).orientation
            return upright_pixels(image), orientation
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_encoded(path: str) -> EncodedPhotograph | None:
    """Read the file of a photograph that all decoders read alike; None of any other.

    Raises:
        SampleError: The file is missing, or no image.
    """
    try:
        with open_image(path) as image:
            content = ordinary_jpeg(image)
            return EncodedPhotograph(content, image.size[::-1]) if content else None
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_label_map(path: str) -> np.ndarray:
    """Read a single-channel label map with its ids as they are stored (palette indices included).

    Args:
        path: File of :data:`mmc2fmae.label_maps.FORMATS` with ids of 1 to 16 bits.

    Returns:
        (h, w) array of ids from 0, uint8 for files of up to 8 bits and int32 for others.

    Raises:
        SampleError: The file is missing, damaged, no image, of a format that changes ids, has
            colour channels or floats, or ids outside 0 to 65535.
    """
    return _read(path, decode_ids)


def read_colour_map(path: str) -> np.ndarray:
    """Read the (h, w, 3) uint8 channels of a map whose colours are ids.

    Raises:
        SampleError: The file is missing, damaged, or none of 8-bit colours without loss.
    """
    return _read(path, decode_colours)


def read_continuous_map(path: str) -> np.ndarray:
    """Read a single-channel map of a quantity, such as depth.

    Args:
        path: Image of 1 to 16 bits, read as a share of their range; a JPEG may do.

    Returns:
        (h, w) float32 array in [0, 1).

    Raises:
        SampleError: The file is missing, damaged, no image, or of another kind of pixels.
    """
    try:
        with open_image(path) as image:
            mode, values = image.mode, np.asarray(image)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if mode not in CONTINUOUS_MODES or values.min() < 0 or values.max() > 65535:
        raise SampleError(
            f'has mode {mode}, values of {values.min()} to {values.max()}, expected one channel '
            'of up to 16 bits',
            path,
            'save it as a greyscale PNG of 16 bits',
        )
    return values.astype(np.float32) / (256 if values.dtype.itemsize == 1 else 65536)


def _read(path: str, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        if (size := file_size(path)) > MOST_BYTES:
            raise OSError(f'{size:,} bytes are more than any map has')
        with open_file(path) as file:
            return decode(file.read())
    except SampleError as error:
        raise SampleError(error.reason, path, error.advice) from None
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> SampleError:
    return SampleError(
        f'cannot be read ({error})',
        path,
        'restore or remove the file, or train past unreadable samples with '
        "train_dataloader.dataset.on_error='skip'",
    )
