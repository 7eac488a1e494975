import numpy as np
import pytest
import torch

from mmc2fmae.engine.run_log import read_scalars
from mmc2fmae.visualization.colours import label_palette
from mmc2fmae.visualization.reconstruction import MASKED, hide_masked, to_picture


def test_masked_patches_are_grey_and_visible_ones_untouched():
    picture = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    hidden = hide_masked(picture, torch.tensor([True, False, False, True]))
    assert (hidden[:2, :2] == MASKED).all() and (hidden[2:, 2:] == MASKED).all()
    assert (hidden[:2, 2:] == picture[:2, 2:]).all() and (hidden[2:, :2] == picture[2:, :2]).all()


def test_label_maps_are_enlarged_without_blending():
    picture = to_picture(torch.tensor([[0, 3], [3, 0]]), size=4)
    assert picture.shape == (4, 4, 3)
    assert (picture[:2, :2] == label_palette()[0]).all()
    assert (picture[:2, 2:] == label_palette()[3]).all()


def test_continuous_maps_are_grey():
    picture = to_picture(torch.tensor([[0.0, 0.5], [1.0, 1.5]]), size=4)
    assert picture.shape == (4, 4, 3)
    assert picture[::2, ::2, 0].tolist() == [[0, 128], [255, 255]]
    assert (picture[..., 0] == picture[..., 2]).all()


def test_images_are_rounded_to_bytes():
    picture = to_picture(torch.full((3, 2, 2), 99.6), size=2)
    assert picture.dtype == np.uint8 and (picture == 100).all()


@pytest.mark.parametrize('order', [('a', 'b'), ('b', 'a')])
def test_curves_of_a_resumed_run_take_repeated_steps_from_the_later_part(tmp_path, order):
    parts = dict(a='{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n', b='{"step": 2, "loss": 9}\n')
    for time, name in zip(('20260101_1', '20260101_2'), order, strict=True):
        folder = tmp_path / time / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(parts[name])
    expected = [3, 9] if order == ('a', 'b') else [3, 2]
    assert [record['loss'] for record in read_scalars(tmp_path)] == expected
