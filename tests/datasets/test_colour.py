import numpy as np
import pytest
from torchvision.transforms import ColorJitter

from mmc2fmae.datasets.transforms import RandomColour


def photograph():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def change(seed, **amounts):
    sample = dict(rgb=photograph(), rng=np.random.default_rng(seed))
    return RandomColour(**amounts).transform(sample)['rgb']


def test_colours_repeat_with_the_generator_of_the_sample_and_differ_with_another():
    assert np.array_equal(change(1), change(1))
    assert not np.array_equal(change(1), change(2))


def test_nothing_changes_without_amounts():
    same = change(0, brightness=0, contrast=0, saturation=0)
    assert np.array_equal(same, photograph())


def test_brightness_scales_pixels_within_the_range_that_torchvision_draws_from():
    low, high = ColorJitter(brightness=0.4).brightness
    before = photograph().astype(float)
    clear = (before > 100) & (before < 150)  # far from rounding and from clipping
    for seed in range(20):
        ratios = (change(seed, brightness=0.4, contrast=0, saturation=0) / before.clip(1))[clear]
        assert ratios.std() < 0.01
        assert low - 0.01 < ratios.mean() < high + 0.01


def test_an_amount_beyond_1_is_refused():
    with pytest.raises(ValueError, match=r'contrast of RandomColour is 1\.4: expected 0 to 1'):
        RandomColour(contrast=1.4)
