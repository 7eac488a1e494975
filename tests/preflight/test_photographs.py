"""16-bit grey photographs of 10, 12 or 14 bits are named; those that use their range are not."""

import io

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight import photographs
from mmc2fmae.preflight.photographs import dark_photographs, require_readable


@pytest.mark.parametrize('suffix', ['png', 'tif', 'pgm'])
@pytest.mark.parametrize('bits', range(8, 17))
def test_photographs_of_fewer_bits_than_the_file_are_named(tmp_path, suffix, bits):
    values = np.linspace(0, 2**bits - 1, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / f'a.{suffix}')
    said = dark_photographs([tmp_path / f'a.{suffix}'])
    assert bool(said) == (bits < 15)
    if said:
        read = (2**bits - 1) * 255 // 65535
        assert f'a.{suffix} (16-bit grey up to {2**bits - 1:,} of 65,535, read as 0 to' in said
        assert f'read as 0 to {read} of 255' in said and '\n' not in said


def test_eight_bits_and_files_that_cannot_be_read_are_not(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / 'black.png')
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / 'black.jpg')
    (tmp_path / 'empty.png').touch()
    assert dark_photographs([*tmp_path.iterdir(), tmp_path / 'gone.png']) == ''
    assert dark_photographs([]) == ''


def heic() -> bytes:
    return b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(400)


def written(form, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


BROKEN = {
    'nothing': (b'', 'empty file'),
    'HEIC': (heic(), 'a HEIC picture inside, no image of a format that is read'),
    'a page of a login': (b'<!DOCTYPE html><html>', 'an HTML page.* inside, no image'),
    'a pointer': (b'version https://git-lfs.github.com/spec/v1\n', 'a git-LFS pointer.* inside'),
    'text': (b'Not Found', 'no image of a format'),
    **{f'{form} cut': (written(form)[:-700], '') for form in ('JPEG', 'PNG', 'WEBP')},
    'progressive JPEG cut': (written('JPEG', progressive=True)[:-700], 'truncated'),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_photographs_that_cannot_be_read_are_refused_before_a_run(tmp_path, kind):
    content, said = BROKEN[kind]
    whole = [tmp_path / f'{form}.img' for form in ('JPEG', 'PNG', 'WEBP', 'TIFF', 'GIF', 'BMP')]
    for path in whole:
        path.write_bytes(written(path.stem))
    (tmp_path / 'zeros.jpg').write_bytes(written('JPEG') + bytes(70))
    require_readable([*whole, tmp_path / 'zeros.jpg'])
    (tmp_path / 'x.jpg').write_bytes(content)
    expected = rf'^1 of 8 photographs cannot be read, first .*x\.jpg .*{said}'
    with pytest.raises(DatasetError, match=expected) as error:
        require_readable([*whole, tmp_path / 'x.jpg', tmp_path / 'zeros.jpg'])
    assert '\n' not in str(error.value)


def test_large_sets_are_left_to_training(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, 'MOST', 1)
    require_readable([tmp_path / 'gone.jpg', tmp_path / 'lost.jpg'])
