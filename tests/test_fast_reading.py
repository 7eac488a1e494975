"""What is read fast is what Pillow reads: the same values, or the same error."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import SampleError
from mmc2fmae.images.jpegs import decode_jpeg
from mmc2fmae.images.opening import UNREADABLE, open_image
from mmc2fmae.images.rgb import upright_pixels, upright_rgb
from mmc2fmae.label_maps import _plain_ids, decode_ids
from mmc2fmae.preparation.layout import encode_map


def photograph(size=(67, 45)):
    """A picture with smooth parts, edges and noise."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    channels = [np.sin(x / 9) * 60, np.cos(y / 7) * 60, ((x // 11 + y // 13) % 2) * 90]
    noise = np.random.default_rng(0).normal(0, 9, (height, width, 3))
    return Image.fromarray((np.dstack(channels) + 110 + noise).clip(0, 255).astype(np.uint8))


def as_jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, 'JPEG', **options)
    return file.getvalue()


def turned_by(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def by_pillow(content):
    with open_image(io.BytesIO(content)) as image:
        return np.array(upright_rgb(image))


def fast(content):
    with open_image(io.BytesIO(content)) as image:
        return upright_pixels(image)


def is_fast(content):
    with open_image(io.BytesIO(content)) as image:
        return decode_jpeg(image) is not None


ORDINARY = [
    *(dict(quality=q, subsampling=s) for q in (30, 75, 100) for s in (0, 1, 2)),
    dict(optimize=True),
    dict(restart_marker_blocks=3),
    dict(restart_marker_rows=1),
    dict(keep_rgb=True),
    dict(comment=b'\xff\xd9\xff\xda', dpi=(300, 300)),
]
LEFT_TO_PILLOW = dict(
    progressive=as_jpeg(photograph(), progressive=True),
    cmyk=as_jpeg(photograph().convert('CMYK')),
    cut=as_jpeg(photograph())[:-2],
    tail=as_jpeg(photograph()) + bytes(9),
)


@pytest.mark.parametrize('mode', ['RGB', 'L'])
@pytest.mark.parametrize('size', [(67, 45), (1, 1), (8, 16), (3, 200), (321, 17)])
def test_ordinary_jpegs_have_the_values_of_pillow_and_are_read_fast(mode, size):
    for options in ORDINARY:
        content = as_jpeg(photograph(size).convert(mode), **options)
        assert is_fast(content), options
        assert np.array_equal(fast(content), by_pillow(content)), options


@pytest.mark.parametrize('orientation', range(10))
def test_fast_pixels_are_turned_as_exif_says(orientation):
    content = as_jpeg(photograph(), exif=turned_by(orientation))
    assert is_fast(content)
    assert np.array_equal(fast(content), by_pillow(content))


def test_the_first_picture_of_a_phone_is_read_fast():
    file = io.BytesIO()
    photograph().save(file, 'MPO', save_all=True, append_images=[photograph((50, 50))])
    assert np.array_equal(fast(file.getvalue()), by_pillow(file.getvalue()))


@pytest.mark.parametrize('kind', LEFT_TO_PILLOW)
def test_other_jpegs_are_left_to_pillow(kind):
    content = LEFT_TO_PILLOW[kind]
    assert not is_fast(content)
    assert np.array_equal(outcome(fast, content), outcome(by_pillow, content))


def test_an_older_opencv_and_a_file_beyond_all_bounds_leave_jpegs_to_pillow(monkeypatch):
    content = as_jpeg(photograph())
    with monkeypatch.context() as patch:
        patch.delattr('cv2.IMREAD_COLOR_RGB')
        assert not is_fast(content) and np.array_equal(fast(content), by_pillow(content))
    monkeypatch.setattr('mmc2fmae.images.jpegs._LARGEST', len(content) - 1)
    assert not is_fast(content) and np.array_equal(fast(content), by_pillow(content))


@pytest.mark.parametrize('form', ['PNG', 'WEBP', 'TIFF', 'BMP', 'GIF'])
def test_other_formats_are_left_to_pillow(form):
    file = io.BytesIO()
    photograph().save(file, form)
    assert not is_fast(file.getvalue())
    assert np.array_equal(fast(file.getvalue()), by_pillow(file.getvalue()))


def outcome(read, content):
    """Return what a reader makes of a file: its values or how it refuses it."""
    try:
        return read(content)
    except (SampleError, *UNREADABLE) as error:
        return np.array(f'{type(error).__name__}: {error}')


def damaged(content, number, rng):
    """Yield a file with bytes changed, taken out, cut off or added, in many ways."""
    for i in range(number):
        data, place = bytearray(content), rng.randrange(2, len(content))
        if i % 4 == 0:
            data = data[:place]
        elif i % 4 == 1:
            for _ in range(rng.choice((1, 1, 3))):
                data[rng.randrange(len(data))] = rng.choice((0, 255, 0xD0, rng.randrange(256)))
        elif i % 4 == 2:
            del data[place : place + rng.randrange(1, 300)]
        else:
            data[place:place] = rng.randbytes(rng.randrange(1, 9))
        yield bytes(data)


def test_damaged_jpegs_give_the_same_values_or_the_same_error(capfd):
    rng, refused = random.Random(0), 0
    for options in (*ORDINARY, dict(progressive=True)):
        for content in damaged(as_jpeg(photograph(), **options), 80, rng):
            expected = outcome(by_pillow, content)
            assert np.array_equal(outcome(fast, content), expected)
            refused += expected.dtype.kind == 'U'
    assert 300 < refused < 1000  # of 1,200
    capfd.readouterr()  # libjpeg speaks of what is damaged


def slowly(content):
    """Read a map as files are read that no tool of this project wrote."""
    chunk = b'tEXt' + b'Title\0x'
    extra = struct.pack('>I', len(chunk) - 4) + chunk + struct.pack('>I', zlib.crc32(chunk))
    assert _plain_ids(content[:33] + extra + content[33:]) is None
    return decode_ids(content[:33] + extra + content[33:])


@pytest.mark.parametrize('size', [(1, 1), (1, 300), (300, 1), (45, 67), (256, 256)])
def test_maps_that_this_project_writes_are_read_fast(size):
    for top in (1, 2, 133, 256):
        labels = np.random.default_rng(top).integers(0, top, size, dtype=np.uint8)
        content = encode_map(labels)
        assert np.array_equal(_plain_ids(content), labels)
        assert np.array_equal(slowly(content), labels)


def map_of(**options):
    labels = np.kron(np.arange(42, dtype=np.uint8).reshape(6, 7), np.ones((9, 9), np.uint8))
    file = io.BytesIO()
    Image.fromarray(labels).save(file, 'PNG', **options)
    return file.getvalue(), labels


def test_filtered_palette_transparent_and_16_bit_maps_are_read_as_before():
    content, labels = map_of()  # Pillow filters
    assert _plain_ids(content) is None and np.array_equal(decode_ids(content), labels)
    for image in (
        Image.fromarray(labels).convert('P'),
        Image.fromarray(labels > 3),
        Image.fromarray(labels.astype(np.uint16)),
    ):
        file = io.BytesIO()
        image.save(file, 'PNG')
        assert _plain_ids(file.getvalue()) is None
    content, labels = map_of(transparency=3)
    assert _plain_ids(content) is None and np.array_equal(decode_ids(content), labels)


def test_damaged_maps_give_the_same_ids_or_the_same_error(monkeypatch):
    rng, refused = random.Random(1), 0
    variants = [
        *damaged(encode_map(map_of()[1]), 200, rng),
        *resealed(encode_map(map_of()[1]), 100, rng),
    ]
    found = [outcome(decode_ids, content) for content in variants]
    monkeypatch.setattr('mmc2fmae.label_maps._plain_ids', lambda content: None)
    for ids, content in zip(found, variants, strict=True):
        expected = outcome(decode_ids, content)
        assert ids.dtype == expected.dtype and np.array_equal(ids, expected)
        refused += expected.dtype.kind == 'U'
    assert 200 < refused < 300


def resealed(content, number, rng):
    """Yield a PNG with other packed bytes or sides and checksums that fit these."""
    for i in range(number):
        data = bytearray(content)
        start, end = (16, 29) if i % 2 else (41, len(content) - 16)
        data[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
        data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
        data[-16:-12] = struct.pack('>I', zlib.crc32(data[37:-16]))
        yield bytes(data)
