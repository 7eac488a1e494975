"""Read photographs and label maps; whatever is wrong with a file is said with its name."""

import numpy as np
from PIL import Image

from mmc2fmae.errors import SampleError
from mmc2fmae.images import UNREADABLE, open_image, stored, upright_rgb

LABEL_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B')


def read_rgb(path: str) -> Image.Image:
    """Read a photograph as 8-bit RGB, turned as its EXIF orientation says.

    Args:
        path: Image file.

    Returns:
        Decoded image in mode 'RGB'.

    Raises:
        SampleError: The file is missing, truncated, no image, or has pixels of 32 bits.
    """
    return read_turned(path)[0]


def read_turned(path: str) -> tuple[Image.Image, int]:
    """Read a photograph as :func:`read_rgb` does; return the EXIF orientation that it had, too."""
    try:
        with open_image(path) as image:
            orientation = stored(image).orientation
            return upright_rgb(image), orientation
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_label_map(path: str) -> np.ndarray:
    """Read a single-channel label map with its ids unchanged (palette indices included).

    Args:
        path: PNG file with 8- or 16-bit ids.

    Returns:
        (h, w) array, uint8 for 8-bit files and int32 for 16-bit files.

    Raises:
        SampleError: The file is missing, truncated, no image, or has colour channels.
    """
    try:
        with open_image(path) as image:
            if image.mode not in LABEL_MODES:
                raise SampleError(
                    f'label map has mode {image.mode} ({len(image.getbands())} channels), '
                    'expected one channel of 8- or 16-bit ids',
                    path,
                    'save the ids themselves as an L, P or I;16 PNG, not a colour rendering',
                )
            labels = np.asarray(image)
    except SampleError:
        raise
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    return labels.astype(np.uint8 if labels.dtype.itemsize == 1 else np.int32, copy=False)


def read_continuous_map(path: str) -> np.ndarray:
    """Read a single-channel map of a quantity, such as depth.

    Args:
        path: PNG file of 8 or 16 bits, read as a share of their range.

    Returns:
        (h, w) float32 array in [0, 1).

    Raises:
        SampleError: See :func:`read_label_map`.
    """
    values = read_label_map(path)
    return values.astype(np.float32) / (256 if values.dtype == np.uint8 else 65536)


def _unreadable(path: str, error: Exception) -> SampleError:
    return SampleError(
        f'cannot be read ({error})',
        path,
        'restore or remove the file, or train past unreadable samples with '
        "train_dataloader.dataset.on_error='skip'",
    )
