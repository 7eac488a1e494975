"""The ids that a label map stores, never a rendering of them.

Pillow makes pictures: values of 2 or 4 bits are spread over 0 to 255, some files are inverted, and
signed bytes become unsigned. Ids are taken only from files of which it is known what was done.
"""

import io
import struct
import zlib
from collections.abc import Set
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmc2fmae.errors import SampleError
from mmc2fmae.images.opening import open_image
from mmc2fmae.paths import AnyPath

FORMATS = ('PNG', 'TIFF', 'BMP', 'GIF', 'PPM')
"""Pillow's names of the formats that keep ids, as those made for photographs do not."""

MOST_BYTES = 2**30
"""No map of 179 million pixels, Pillow's bound, is larger."""

_MOST_ID = 65535

# Pillow's raw modes, that is what is in the file, of one channel, by the factor that it puts on the
# ids. Those that it inverts ('L;I', and '1;I' of PBM and faxes) are not among them.
_FACTORS = dict.fromkeys(
    ('1', 'L', 'P', 'P;1', 'P;2', 'P;4', 'I;16', 'I;16B', 'I;16N', 'I;16S', 'I;16BS', 'I;16NS',
     'I;32N', 'I;32S', 'I;32BS'), 1
) | {'L;2': 85, 'L;4': 17}  # fmt: skip
_LOSSLESS_TIFF = {
    'raw', 'tiff_ccitt', 'group3', 'group4', 'tiff_lzw', 'tiff_adobe_deflate', 'tiff_raw_16',
    'packbits', 'tiff_deflate', 'lzma', 'zstd',
}  # fmt: skip
_TIFF_HEADER = 8
_SUBFILE, _SAMPLE_FORMAT, _SIGNED = 254, 339, 2  # TIFF 6.0, "NewSubfileType" and "SampleFormat"
_PNG_START = b'\x89PNG\r\n\x1a\n'
_PLAIN = bytes((8, 0, 0, 0, 0))  # of IHDR: 8 bits, grey, deflate, the usual filters, no interlace
_AS_PNG = 'save the ids themselves as an L, P or I;16 PNG'


def decode_ids(content: bytes) -> np.ndarray:
    """Return the ids of a label map as they are stored, those of a palette included.

    Args:
        content: The file: PNG, TIFF, BMP, GIF or PGM of 1 to 16 bits a pixel, or a TIFF of 32.

    Returns:
        (h, w) array, uint8 for up to 8 bits and int32 for more, of ids from 0 to 65535.

    Raises:
        SampleError: The file holds no ids or might not hold what was saved; without its path.
        OSError: It is damaged or no image (or another of
            :data:`mmc2fmae.images.opening.UNREADABLE`).
    """
    plain = _plain_ids(content)
    if plain is not None:
        return plain
    with _open_map(content) as image:
        if image.mode == 'F':
            raise SampleError(_describe_floats(np.asarray(image)), advice=_AS_PNG)
        if image.mode not in ('1', 'L', 'P') and not image.mode.startswith('I'):
            raise SampleError(
                f'label map has mode {image.mode} ({len(image.getbands())} channels), expected one '
                'channel of 8- or 16-bit ids',
                advice=f'{_AS_PNG}, not a colour rendering and without alpha (panoptic PNGs of '
                'COCO and instances of ADE20K: tools/convert_dataset.py)',
            )
        factor = _factor(image, content)
        labels = np.asarray(image)
        tags = image.tag_v2 if image.format == 'TIFF' else {}
    if factor > 1:
        labels = labels // factor
    signed = _SIGNED in tags.get(_SAMPLE_FORMAT, ())
    if signed and labels.dtype.itemsize == 1:
        labels = labels.view(np.int8)
    elif tags and not signed and labels.dtype.itemsize == 4:
        labels = labels.view(np.uint32)
    if labels.dtype.itemsize > 2 or labels.dtype.kind == 'i':
        _check_range(labels)
    return labels.astype(np.uint8 if labels.dtype.itemsize == 1 else np.int32, copy=False)


def wide_ids(labels: np.ndarray) -> set[int]:
    """Return the ids of an (h, w) map, 0 to 65535, that are somewhere two pixels wide and high.

    Resizing by interpolation invents others at edges: between 0 and 4 come 1, 2 and 3.
    """
    found = np.zeros(_MOST_ID + 1, bool)
    rows = max((1 << 20) // labels.shape[1], 1)  # at a time, whatever the size of the map
    for start in range(0, len(labels) - 1, rows):
        upper, lower = labels[start : start + rows], labels[start + 1 : start + rows + 1]
        corner, below = upper[: len(lower)], lower[:, :-1]
        square = (corner[:, :-1] == below) & (corner[:, 1:] == below) & (lower[:, 1:] == below)
        found[below[square]] = True
    return set(np.flatnonzero(found).tolist())


def between_others(ids: Set[int], wide: Set[int]) -> list[int]:
    """Return the ids that are nowhere wide, see :func:`wide_ids`, between two ids that are."""
    return sorted(i for i in ids - wide if wide and min(wide) < i < max(wide))


def colours_of_ids(path: AnyPath) -> dict[int, tuple[int, int, int]]:
    """Return the palette of a label map, by id; empty where it has none.

    Raises:
        OSError: It cannot be read (or another of :data:`mmc2fmae.images.opening.UNREADABLE`).
    """
    with open_image(path) as image:
        colours = (image.getpalette('RGB') or []) if image.mode == 'P' else []
    return {i: (r, g, b) for i, (r, g, b) in enumerate(zip(*[iter(colours)] * 3, strict=True))}


def _plain_ids(content: bytes) -> np.ndarray | None:
    """Return the ids of a PNG as this project writes maps, in half of Pillow's time.

    Those have 8 bits of grey, are not interlaced, filtered or animated and carry nothing besides:
    unpacked they are the ids, a row with a byte in front each. None for any other file.
    """
    if content[:8] != _PNG_START or content[12:16] != b'IHDR' or content[24:29] != _PLAIN:
        return None
    width, height = struct.unpack('>II', content[16:24])
    packed: list[bytes] = []
    place = 33
    while (kind := content[place + 4 : place + 8]) == b'IDAT':
        end = place + 8 + int.from_bytes(content[place : place + 4], 'big')
        packed.append(content[place + 8 : end])
        place = end + 4
    most = Image.MAX_IMAGE_PIXELS or MOST_BYTES  # from there on Pillow warns, then refuses
    if kind != b'IEND' or not packed or not 0 < width * height < most:
        return None
    unpack, size = zlib.decompressobj(), (width + 1) * height
    try:
        _check_png(content)
        first = unpack.decompress(packed[0], 1)
        if first != b'\0':  # filtered from the first row on
            return None
        rest = b''.join([unpack.unconsumed_tail, *packed[1:]])
        rows = first + unpack.decompress(rest, size)
    except (OSError, zlib.error):  # damaged: Pillow says how
        return None
    if len(rows) != size or not unpack.eof:
        return None
    ids = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    return None if ids[:, 0].any() else ids[:, 1:]


def decode_colours(content: bytes) -> np.ndarray:
    """Return the (h, w, 3) uint8 channels of a map whose colours are ids.

    Raises:
        SampleError: The file has other channels, or might not hold what was saved.
        OSError: As :func:`decode_ids`.
    """
    with _open_map(content) as image:
        raw = _raw_mode(image)
        if image.mode != 'RGB' or raw not in ('RGB', 'BGR'):
            raise SampleError(
                f'has mode {image.mode} ({raw}), expected RGB of 8 bits a channel',
                advice='take the files as they were published',
            )
        return np.asarray(image)


def _open_map(content: bytes) -> Any:
    """Open an image of one page in a lossless format; its pixels come later.

    Raises:
        SampleError: It is another one.
    """
    try:
        image: Any = open_image(io.BytesIO(content))
    except UnidentifiedImageError:
        if content[:3] in (b'II*', b'MM\0', b'II+'):
            raise SampleError(
                'label map is a TIFF of a pixel type that is not read (64 bits, half precision, '
                'several channels, ...), expected ids of 1 to 16 bits',
                advice=_AS_PNG,
            ) from None
        raise
    packed = image.info.get('compression') if image.format == 'TIFF' else None
    if image.format == 'PNG':
        _check_png(content)
    elif image.format == 'TIFF':
        _check_strips(image.tag_v2, content, packed in ('tiff_adobe_deflate', 'tiff_deflate'))
    if image.format not in FORMATS or (packed and packed not in _LOSSLESS_TIFF):
        raise SampleError(
            f'label map is {image.format}{f" ({packed})" if packed else ""} inside, whatever its '
            f'name, which changes ids; expected one of {", ".join(FORMATS)} without loss',
            advice='make the map anew from its source and save it as PNG: lost ids do not come '
            'back by converting the file',
        )
    covered = sum((right - left) * (low - top) for _, (left, top, right, low), *_ in image.tile)
    if covered < image.width * image.height:
        raise OSError('damaged: the file has pixels for a part of the image alone')
    if pages := _further_pages(image):
        raise SampleError(
            f'label map has {pages + 1} pages or frames, expected 1', advice='save one map a file'
        )
    return image


def _check_png(content: bytes) -> None:
    """Compare the checksums of a PNG, as Pillow does not for pixels.

    Raises:
        OSError: One does not fit: the file is damaged.
    """
    view, place, kind = memoryview(content), 8, b''
    while kind != b'IEND':
        end = place + 8 + int.from_bytes(content[place : place + 4], 'big')
        kind = content[place + 4 : place + 8]
        stated = int.from_bytes(content[end : end + 4], 'big')
        if not kind or zlib.crc32(view[place + 4 : end]) != stated:
            raise OSError('damaged or truncated PNG, a checksum differs')
        place = end + 4


def _check_strips(tags: Any, content: bytes, deflated: bool) -> None:
    """Unpack the deflated strips or tiles of a TIFF; libtiff only prints that a checksum differs.

    Raises:
        OSError: One cannot be unpacked whole, or begins in the header.
    """
    offsets, sizes = (tags.get(a) or tags.get(b) or () for a, b in ((273, 324), (279, 325)))
    if not all(start >= _TIFF_HEADER for start in offsets):
        raise OSError('damaged TIFF, its pixels begin in its header')
    for start, size in zip(offsets, sizes, strict=False) if deflated else ():
        inflate, packed = zlib.decompressobj(), content[start : start + size]
        try:
            while packed and not inflate.eof:
                inflate.decompress(packed, 1 << 20)  # in pieces, whatever it grows to
                packed = inflate.unconsumed_tail
        except zlib.error as error:
            raise OSError(f'damaged TIFF ({error})') from error
        if not inflate.eof:
            raise OSError('truncated TIFF')


def _further_pages(image: Any) -> int:
    """Return how many pages follow the first, but for its reductions and masks in a TIFF."""
    try:
        further: int = getattr(image, 'n_frames', 1) - 1
        if further and image.format == 'TIFF':
            for page in range(1, further + 1):
                image.seek(page)
                further -= bool(image.tag_v2.get(_SUBFILE, 0))
            image.seek(0)
    except Exception as error:  # damaged tags raise anything, even TypeError
        raise OSError(f'a page is damaged ({error})') from error
    return further


def _raw_mode(image: Any) -> str:
    """Return Pillow's name of what is in the file, 'none' where it will read no pixels."""
    if not image.tile:
        return 'none'
    arguments = image.tile[0][3]
    return str(arguments if isinstance(arguments, str) else arguments[0])


def _factor(image: Any, content: bytes) -> int:
    """Return by what Pillow will multiply the ids.

    Raises:
        SampleError: It is not known whether it will do something else with them.
    """
    raw = image.mode if image.format == 'GIF' else _raw_mode(image)
    factor = _FACTORS.get(raw)
    if image.format == 'BMP' and raw in ('1', 'L'):
        # Pillow takes the number of colours for that of bits where the palette is grey.
        bits = content[28] if content[14] >= 40 else 0
        factor = 1 if bits == (1 if raw == '1' else 8) else None
    elif image.format == 'PPM' and not isinstance(image.tile[0][3], str):
        # Values up to another maximum are spread, and clipped.
        factor = 1 if image.tile[0][3][-1] in (255, 65535) else None
    if factor is None:
        raise SampleError(
            f'label map is a {image.format} of pixels ({raw}) that do not tell ids for certain, '
            'inverted or spread ones for example',
            advice=_AS_PNG,
        )
    return factor


def _check_range(labels: np.ndarray) -> None:
    outside = (labels < 0) | (labels > _MOST_ID)
    if outside.any():
        ids = np.unique(labels[outside])
        raise SampleError(
            f'label map has {np.count_nonzero(outside):,} pixels with ids outside 0 to {_MOST_ID}: '
            f'{", ".join(map(str, ids[:5].tolist()))}{", ..." if len(ids) > 5 else ""}',
            advice=f'renumber them (255 = unknown class, 0 = no instance) and {_AS_PNG}',
        )


def _describe_floats(values: np.ndarray) -> str:
    odd = np.count_nonzero(~np.isfinite(values))
    broken = np.count_nonzero(values % 1 > 0) if not odd else 0
    what = f'{odd:,} are NaN or infinite' if odd else f'{broken:,} are no whole numbers'
    return f'label map holds floats ({what} of {values.size:,}), expected 8- or 16-bit ids'
