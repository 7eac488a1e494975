import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import SampleError
from mmc2fmae.labeling.photographs import MAX_SIDE, read_photograph


def test_a_small_photograph_is_read_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    photo = read_photograph(tmp_path / 'a.png')
    assert (photo.pixels == pixels).all()
    assert (photo.width, photo.height) == (7, 5)


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK', '1', 'I;16'])
def test_every_mode_becomes_rgb(tmp_path, mode):
    name = tmp_path / ('a.jpg' if mode == 'CMYK' else 'a.png')
    Image.new(mode, (6, 4)).save(name)
    assert read_photograph(name).pixels.shape == (4, 6, 3)


def test_a_hundred_megapixels_are_read_at_working_size_without_a_warning(tmp_path, recwarn):
    Image.new('L', (12000, 9000), 90).save(tmp_path / 'huge.jpg')
    photo = read_photograph(tmp_path / 'huge.jpg')
    assert photo.pixels.shape == (1000, MAX_SIDE, 3)
    assert (photo.width, photo.height) == (12000, 9000)
    assert (photo.pixels == 90).all()
    assert not recwarn.list


def test_a_photograph_is_seen_upright_and_its_stored_size_is_kept(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held sideways
    Image.new('RGB', (8, 4)).save(tmp_path / 'a.jpg', exif=exif)
    photo = read_photograph(tmp_path / 'a.jpg')
    assert photo.pixels.shape == (8, 4, 3) and photo[1:] == (8, 4, 6)


def test_an_extreme_aspect_ratio_keeps_at_least_a_pixel(tmp_path):
    Image.new('RGB', (4000, 1)).save(tmp_path / 'a.png')
    assert read_photograph(tmp_path / 'a.png').pixels.shape == (1, MAX_SIDE, 3)


@pytest.mark.parametrize('content', [b'', b'no image', 'cut'])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / 'bad.jpg'
    if content == 'cut':
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:900]
    path.write_bytes(content)
    with pytest.raises(SampleError, match=r'bad\.jpg cannot be read'):
        read_photograph(path)
