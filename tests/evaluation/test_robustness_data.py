"""Images of the robustness sets, and corruptions on the fly."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmc2fmae.evaluation import robustness_data
from mmc2fmae.evaluation.corruption_error import CORRUPTIONS
from mmc2fmae.evaluation.robustness_data import LabelledImages, corrupt

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture
def red(tmp_path):
    Image.new('RGB', (40, 36), (255, 0, 0)).save(tmp_path / 'red.png')
    return tmp_path


def test_an_image_comes_with_its_label(red):
    (sample,) = LabelledImages(red, ['red.png'], [7], PIPELINE)[0]
    assert sample['inputs'].shape == (3, 36, 40)
    assert sample['inputs'][:, 0, 0].tolist() == [0, 0, 255]  # BGR, as mmcv reads
    assert sample['data_samples'].gt_label.tolist() == [7]


def test_unreadable_images_are_named(red):
    (red / 'red.png').write_bytes(b'no image')
    with pytest.raises(RuntimeError, match=r'red\.png'):
        LabelledImages(red, ['red.png'], [0], PIPELINE)[0]


def test_corruptions_are_given_rgb(red, monkeypatch):
    seen = []

    def spy(image, corruption, severity, key):
        seen.append((image[0, 0].tolist(), corruption, severity, key))
        return np.full_like(image, (10, 20, 30))

    monkeypatch.setattr(robustness_data, 'corrupt', spy)
    (sample,) = LabelledImages(red, ['red.png'], [0], PIPELINE, [('fog', 2)])[0]
    assert seen == [([255, 0, 0], 'fog', 2, 'red.png')]
    assert sample['inputs'][:, 0, 0].tolist() == [30, 20, 10]


def test_an_image_is_read_once_for_all_its_corruptions_and_each_is_alone(red, monkeypatch):
    monkeypatch.setattr(robustness_data, 'corrupt', lambda image, _, by, key: image - np.uint8(by))
    data = LabelledImages(red, ['red.png'], [3], PIPELINE, [('fog', 2), None, ('snow', 5)])
    load, pack = data.transforms
    reads = []
    data.__dict__['transforms'] = [lambda sample: reads.append(1) or load(sample), pack]
    samples = data[0]
    assert [sample['inputs'][:, 0, 0].tolist() for sample in samples] == [
        [254, 254, 253], [0, 0, 255], [251, 251, 250],
    ]  # fmt: skip
    assert [int(sample['data_samples'].gt_label) for sample in samples] == [3, 3, 3]
    assert reads == [1]


def test_without_the_library_the_fix_is_named(monkeypatch):
    monkeypatch.setattr(robustness_data, 'LIBRARY', 'no-such-library')
    with pytest.raises(ImportError, match="extra 'corruptions'"):
        corrupt(np.zeros((32, 32, 3), np.uint8), 'fog', 1, 'a')


@pytest.fixture
def scene():
    """A smooth image, different in each channel."""
    y, x = np.mgrid[:64, :64]
    return np.stack([4 * x, 4 * y, 2 * (x + y)], axis=2).astype(np.uint8)


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_every_corruption_works_on_small_images_and_repeats(scene, corruption):
    pytest.importorskip('imagecorruptions')
    np.random.seed(1)
    first = corrupt(scene, corruption, 3, 'a.png')
    np.random.seed(2)
    state = np.random.get_state()[1].copy()
    again = corrupt(scene, corruption, 3, 'a.png')
    assert first.shape == scene.shape and first.dtype == np.uint8
    assert np.abs(first.astype(int) - scene).mean() > 1
    assert np.array_equal(first, again)
    assert np.array_equal(np.random.get_state()[1], state)  # other draws are not touched


@pytest.mark.parametrize('corruption', ['gaussian_noise', 'impulse_noise', 'glass_blur', 'frost'])
def test_every_image_has_a_corruption_of_its_own(scene, corruption):
    pytest.importorskip('imagecorruptions')
    one, other = (corrupt(scene, corruption, 3, key) for key in ('a.png', 'b.png'))
    assert not np.array_equal(one, other)


def test_higher_severities_are_worse(scene):
    pytest.importorskip('imagecorruptions')
    distance = [
        np.abs(corrupt(scene, 'gaussian_noise', s, 'a').astype(int) - scene).mean()
        for s in (1, 3, 5)
    ]
    assert distance == sorted(distance)


def test_loader_workers_make_the_same_images(red):
    pytest.importorskip('imagecorruptions')
    data = LabelledImages(red, ['red.png'] * 4, [0] * 4, PIPELINE, [('shot_noise', 3)])
    expected = data[0][0]['inputs']
    loader = torch.utils.data.DataLoader(data, 2, num_workers=2, collate_fn=list)
    found = [sample['inputs'] for batch in loader for (sample,) in batch]
    assert len(found) == 4 and all(torch.equal(image, expected) for image in found)
