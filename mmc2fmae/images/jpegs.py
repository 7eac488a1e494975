"""JPEGs that all decoders read alike, decoded in less time than by Pillow."""

import os
from typing import Any

import numpy as np
from PIL import Image

from mmc2fmae.images.orientation import exif_orientation

_LARGEST = 2**28  # bytes; more than 179 million pixels need
_MARK, _SCAN, _HUFFMAN = 0xFF, 0xDA, 0xC4  # ITU-T T.81, table B.1


def ordinary_jpeg(image: Image.Image) -> bytes | None:
    """Return the file of a JPEG that all decoders read alike, None of anything else.

    That is one of 8 bits a channel, grey or YCbCr, in one whole sequential scan, to be shown as it
    is stored.

    Args:
        image: What :func:`open_image` made of the file; its pixels are not read.
    """
    content = _whole_jpeg(image)
    if content is None or exif_orientation(image) != 1:
        return None
    parts = [part[0] for part in image.layer]  # type: ignore[attr-defined]  # of Pillow's JPEGs
    ycc = parts == [1, 2, 3] and image.info.get('adobe_transform', 1) == 1
    return content if ycc or len(parts) == 1 else None


def decode_jpeg(image: Image.Image) -> np.ndarray | None:
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


def _whole_jpeg(image: Image.Image) -> bytes | None:
    """Return the file of an 8-bit grey or colour JPEG of one whole scan, None of anything else."""
    file: Any = getattr(image, 'fp', None)
    if image.format not in ('JPEG', 'MPO') or image.mode not in ('L', 'RGB') or file is None:
        return None
    if file.seek(0, os.SEEK_END) > _LARGEST:
        return None
    file.seek(0)
    content: bytes = file.read()
    return content if _is_one_scan(content) else None


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
