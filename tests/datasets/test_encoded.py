"""Photographs that leave the data workers encoded are the same samples, decoded later."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image

from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.datasets.encoded import EncodedPhotograph, collate_encoded
from mmc2fmae.datasets.sample_io import read_encoded, read_turned
from mmc2fmae.datasets.transforms.geometry import crop_pixels
from mmc2fmae.errors import SampleError
from mmc2fmae.images.jpegs import ordinary_jpeg
from mmc2fmae.images.opening import open_image
from tests.test_fast_reading import ORDINARY, as_jpeg, photograph, turned_by


def is_ordinary(content):
    with open_image(io.BytesIO(content)) as image:
        found = ordinary_jpeg(image)
    assert found in (None, content)
    return found is not None


def test_whole_sequential_jpegs_of_ordinary_colours_are_ordinary():
    for options in ORDINARY:
        assert is_ordinary(as_jpeg(photograph(), **options)) == ('keep_rgb' not in options)
        assert is_ordinary(as_jpeg(photograph().convert('L'), **options))


def test_what_decoders_read_each_in_their_own_way_is_not_ordinary():
    assert is_ordinary(as_jpeg(photograph(), exif=turned_by(1)))
    assert not is_ordinary(as_jpeg(photograph(), exif=turned_by(6)))
    assert not is_ordinary(as_jpeg(photograph(), progressive=True))
    assert not is_ordinary(as_jpeg(photograph().convert('CMYK')))
    assert not is_ordinary(as_jpeg(photograph())[:-2])  # cut short
    assert not is_ordinary(as_jpeg(photograph()) + bytes(9))
    deep = Image.fromarray(np.zeros((4, 4), np.uint16))
    for image, form in ((photograph(), 'PNG'), (photograph(), 'WEBP'), (deep, 'PNG')):
        file = io.BytesIO()
        image.save(file, form)
        assert not is_ordinary(file.getvalue())


def datasets(data_root, pipeline):
    """The data set as ever, and with photographs that stay encoded."""
    both = [MultiGranularDataset(str(data_root), pipeline=pipeline) for _ in range(2)]
    both[1].pipeline.transforms[0].encoded = True
    return both


def decoded(sample):
    photo = sample['inputs']['rgb']
    pixels = crop_pixels(read_turned(sample['path'])[0], photo.box, photo.shape)
    return torch.from_numpy(pixels[:, ::-1].copy() if photo.mirrored else pixels).permute(2, 0, 1)


def test_box_flip_maps_and_masks_are_those_of_decoded_photographs(data_root, pipeline):
    plain, encoded = datasets(data_root, pipeline)
    mirrored = set()
    for expected, got in zip(plain, encoded, strict=True):
        assert got['inputs']['rgb'].content == Path(got['path']).read_bytes()
        mirrored.add(got['inputs']['rgb'].mirrored)
        assert torch.equal(decoded(got), expected['inputs']['rgb'])
        assert all(torch.equal(got['masks'][g], expected['masks'][g]) for g in expected['masks'])
        for name in ('instance', 'semantic'):
            assert torch.equal(got['inputs'][name], expected['inputs'][name])
    assert mirrored == {True, False}


def test_other_photographs_are_decoded_by_the_worker(data_root, pipeline):
    path = data_root / 'train/n00000000/img_0.JPEG'
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=turned_by(6))
    for name in ('instance', 'semantic'):
        flat = data_root / f'{name}/train/n00000000/img_0.png'
        Image.open(flat).transpose(Image.Transpose.ROTATE_90).save(flat)
    plain, encoded = datasets(data_root, pipeline)
    for name, value in plain[0]['inputs'].items():
        assert torch.equal(encoded[0]['inputs'][name], value)


def test_damaged_photographs_are_refused_in_the_same_words(data_root, pipeline):
    path = data_root / 'train/n00000000/img_0.JPEG'
    whole = path.read_bytes()
    for content in (b'', whole[:40], whole[: len(whole) // 2], b'GIF89a'):
        path.write_bytes(content)
        said = []
        for dataset in datasets(data_root, pipeline):
            with pytest.raises(SampleError, match=r'img_0\.JPEG: cannot be read') as told:
                dataset[0]
            said.append(str(told.value))
        assert said[0] == said[1]
    plain, encoded = datasets(data_root, pipeline)
    plain.on_error = encoded.on_error = 'skip'
    assert encoded[0]['skipped'] == plain[0]['skipped'] != ''


def test_a_batch_keeps_encoded_and_decoded_photographs_in_their_order(data_root, pipeline):
    plain, encoded = datasets(data_root, pipeline)
    samples = [encoded[0], plain[1], encoded[2]]
    photographs = [sample['inputs']['rgb'] for sample in samples]
    batch = collate_encoded(default_collate, samples)
    expected = default_collate([plain[i] for i in range(3)])
    assert list(batch) == list(expected) and list(batch['inputs']) == list(expected['inputs'])
    assert all(a is b for a, b in zip(batch['inputs']['rgb'], photographs, strict=True))
    assert torch.equal(batch['inputs']['semantic'], expected['inputs']['semantic'])
    assert batch['path'] == expected['path']


def test_two_flips_are_none(data_root):
    photo = read_encoded(str(data_root / 'train/n00000000/img_0.JPEG'))
    assert photo.shape == (40, 48) and photo.mirror().mirrored
    assert photo.mirror().mirror() == photo
    cropped = photo.crop((1, 2, 30, 40), (32, 16))
    assert cropped == EncodedPhotograph(photo.content, (32, 16), (1, 2, 30, 40))
