"""16-bit grey photographs of 10, 12 or 14 bits are named; those that use their range are not."""

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.preflight.photographs import dark_photographs


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
