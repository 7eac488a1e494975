"""Copies without EXIF orientation: as it shows the picture, or as the file stores it."""

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.cli import main
from mmc2fmae.errors import DatasetError
from mmc2fmae.images.opening import open_image
from mmc2fmae.images.orientation import stored, stored_size, turn
from mmc2fmae.images.rgb import upright_rgb
from mmc2fmae.preparation.upright import write_upright

PIXELS = np.kron(np.arange(6).reshape(2, 3) * 50, np.ones((16, 16))).astype(np.uint8)


def write(folder, form, mode='L', **options):
    folder.mkdir(parents=True, exist_ok=True)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(PIXELS).convert(mode).save(
            folder / f'{orientation}.{form.lower()}', form, exif=exif, **options
        )


def read(path):
    with open_image(path) as image:
        assert stored(image).orientation == 1
        return np.asarray(upright_rgb(image))[..., 0].astype(int)


@pytest.mark.parametrize(
    ('form', 'mode', 'options', 'error'),
    [
        ('JPEG', 'L', dict(quality=90), 8),
        ('JPEG', 'RGB', dict(quality=90), 8),
        ('JPEG', 'CMYK', dict(quality=90), 8),
        ('PNG', 'RGB', {}, 0),
        ('PNG', 'P', {}, 0),
        ('PNG', 'RGBA', {}, 0),
        ('TIFF', 'L', {}, 0),
        ('TIFF', 'RGB', dict(compression='tiff_lzw'), 0),
        ('WEBP', 'RGB', dict(lossless=True), 0),
    ],
)
def test_all_orientations_either_way(form, mode, options, error, tmp_path):
    write(tmp_path / 'in/cats', form, mode, **options)
    assert write_upright(str(tmp_path / 'in'), str(tmp_path / 'shown')) == (8, 7)
    assert write_upright(str(tmp_path / 'in'), str(tmp_path / 'stored'), as_stored=True) == (8, 7)
    for orientation in range(1, 9):
        name = f'cats/{orientation}.{form.lower()}'
        shown, kept = read(tmp_path / 'shown' / name), read(tmp_path / 'stored' / name)
        assert np.abs(shown - turn(PIXELS, orientation)).max() <= error
        assert np.abs(kept - PIXELS).max() <= error
        with open_image(tmp_path / 'shown' / name) as image:
            assert (image.format, image.mode) == (form, mode)


def test_photographs_without_orientation_are_copied_byte_by_byte(tmp_path):
    write(tmp_path / 'in', 'JPEG')
    write_upright(str(tmp_path / 'in'), str(tmp_path / 'out'))
    assert (tmp_path / 'in/1.jpeg').read_bytes() == (tmp_path / 'out/1.jpeg').read_bytes()


def test_16_bit_grey_stays_16_bit(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    (tmp_path / 'in').mkdir()
    Image.fromarray(deep).save(tmp_path / 'in/x.png', exif=exif)
    write_upright(str(tmp_path / 'in'), str(tmp_path / 'out'))
    with open_image(tmp_path / 'out/x.png') as image:
        assert (np.asarray(image) == deep[::-1, ::-1]).all()


def test_the_command_says_what_it_did_and_stops_at_what_it_cannot_do(tmp_path, capsys):
    write(tmp_path / 'in', 'PNG')
    assert main(['convert-data', 'upright', str(tmp_path / 'in'), str(tmp_path / 'out')]) == 0
    said = '8 photographs, 7 of them had an EXIF orientation'
    assert said in capsys.readouterr().out
    assert stored_size(tmp_path / 'out/6.png') == (32, 48, 1)
    with pytest.raises(DatasetError, match='inside the folder of the photographs'):
        write_upright(str(tmp_path / 'in'), str(tmp_path / 'in'))
    with pytest.raises(DatasetError, match='has no files ending in'):
        write_upright(str(tmp_path / 'nothing'), str(tmp_path / 'out'))
    (tmp_path / 'in/2.png').write_bytes(b'text')
    with pytest.raises(DatasetError, match=r'2\.png is no readable image'):
        write_upright(str(tmp_path / 'in'), str(tmp_path / 'again'))
