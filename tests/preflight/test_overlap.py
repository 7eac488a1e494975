"""Photographs that are trained on and validated on are counted, whatever they are called."""

import os

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.preflight import overlap
from mmc2fmae.preflight.overlap import trained_on_too


@pytest.fixture
def photographs(tmp_path):
    """Eight photographs of equal size in bytes, and their paths."""
    paths = [str(tmp_path / f'{i}.bmp') for i in range(8)]
    for i, path in enumerate(paths):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[24, 32] = i  # start and end are alike
        Image.fromarray(pixels).save(path)
    return paths


def copied(path):
    with open(path, 'rb') as file, open(f'{path}.copy.bmp', 'wb') as out:
        out.write(file.read())
    return f'{path}.copy.bmp'


def linked(path):
    os.symlink(path, f'{path}.link.bmp')
    return f'{path}.link.bmp'


def named_otherwise(path):
    return os.path.join(os.path.dirname(path), '.', os.path.basename(path))


@pytest.mark.parametrize('again', [str, copied, linked, named_otherwise])
@pytest.mark.parametrize('number', [0, 1, 4])
def test_shared_photographs_are_counted_and_named(photographs, again, number):
    val = [*photographs[4:], *(again(path) for path in photographs[:number])]
    said = trained_on_too(photographs[:4], val)
    if not number:
        assert said == ''
        return
    assert said.startswith(f'{number} of {4 + number} photographs to validate on are trained on')
    assert os.path.basename(photographs[0]) in said and '\n' not in said


def test_equal_size_and_start_are_not_enough(photographs):
    one, two = photographs[:2]
    with open(one, 'rb') as file:
        content = bytearray(file.read())
    content[3000] ^= 1  # in none of the parts that are compared first
    with open(two, 'wb') as file:
        file.write(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, '_PART', 100)
        assert trained_on_too([one], [two]) == ''


def test_large_empty_and_missing_sets_are_left_alone(photographs, monkeypatch):
    assert trained_on_too([], photographs) == trained_on_too(photographs, []) == ''
    assert trained_on_too(['gone.jpg'], ['gone.jpg', 'lost.jpg']) == ''
    monkeypatch.setattr(overlap, 'MOST', 10)
    assert trained_on_too(photographs, photographs) == ''
