"""Corruption errors against published numbers."""

import pytest

from mmc2fmae.evaluation.corruption_error import (
    ALEXNET_ERRORS,
    CORRUPTIONS,
    SEVERITIES,
    corruption_errors,
    mean_corruption_error,
    mean_error,
    relative_errors,
    robustness_score,
)

# torchvision's ResNet-50 on ImageNet-C: top-1 accuracy (%), CE (%). Published with their mean, mCE
# 76.70, in Results/clean_results.txt of bethgelab/game-of-noise (Rusak et al. 2020).
RESNET50 = {
    'brightness': (68.02, 56.64),
    'contrast': (39.06, 71.43),
    'defocus_blur': (38.75, 74.71),
    'elastic_transform': (45.25, 84.75),
    'fog': (45.83, 66.11),
    'frost': (38.14, 74.84),
    'gaussian_noise': (29.29, 79.77),
    'glass_blur': (26.79, 88.61),
    'impulse_noise': (23.81, 82.58),
    'jpeg_compression': (53.41, 76.82),
    'motion_blur': (38.67, 78.03),
    'pixelate': (44.79, 76.92),
    'shot_noise': (27.03, 81.58),
    'snow': (32.53, 77.83),
    'zoom_blur': (36.24, 79.86),
}
# The paper's Table IV: ImageNet-A, -R, -Sketch, mCE of -C, score.
TABLE_IV = {
    'MAE': (35.9, 48.3, 34.5, 51.7, 41.8),
    'MFM': (32.7, 48.6, 34.8, 47.5, 42.2),
    'MultiMAE': (33.2, 49.9, 37.2, 49.6, 42.7),
    'C2FMAE': (35.2, 50.6, 37.4, 48.8, 43.6),
}


def test_resnet50_has_its_published_mce():
    errors = {name: 100 - accuracy for name, (accuracy, _) in RESNET50.items()}
    assert mean_corruption_error(errors) == pytest.approx(76.70, abs=0.01)
    for name, found in relative_errors(errors).items():
        # Accuracies are rounded to 0.005, divided by AlexNet's 56 to 92 %.
        assert found == pytest.approx(RESNET50[name][1], abs=0.005 + 0.005 / 0.56)


def test_alexnet_has_100():
    assert mean_corruption_error(ALEXNET_ERRORS) == pytest.approx(100)


@pytest.mark.parametrize('method', TABLE_IV)
def test_score_column_of_table_iv(method):
    *top1, mce, score = TABLE_IV[method]
    assert abs(robustness_score(top1, mce) - score) <= 0.05 + 1e-9  # the print's rounding


def test_error_of_a_corruption_is_the_mean_of_five_severities():
    cells = {(name, s): 10.0 * s for name in CORRUPTIONS for s in SEVERITIES}
    cells['fog', 5] = 100.0  # (10 + 20 + 30 + 40 + 100) / 5
    errors = corruption_errors(cells)
    assert errors['fog'] == pytest.approx(40)
    assert errors['snow'] == pytest.approx(30)
    assert mean_error(errors) == pytest.approx((14 * 30 + 40) / 15)


def test_missing_cells_and_corruptions_are_named():
    cells = {(name, s): 50.0 for name in CORRUPTIONS for s in SEVERITIES}
    del cells['frost', 2]
    with pytest.raises(ValueError, match='frost/2'):
        corruption_errors(cells)
    errors = {name: 50.0 for name in CORRUPTIONS if name != 'snow'}
    with pytest.raises(ValueError, match=r"missing \['snow'\]"):
        mean_corruption_error(errors)
    with pytest.raises(ValueError, match=r"unknown \['spatter'\]"):
        mean_error(errors | dict(snow=50.0, spatter=50.0))
