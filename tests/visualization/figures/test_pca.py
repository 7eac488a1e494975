import numpy as np
import pytest
import torch

from mmc2fmae.visualization.figures.pca import (
    component_colours,
    is_foreground,
    principal_components,
    to_unit_range,
)


def test_components_are_those_of_the_singular_value_decomposition():
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    scores = principal_components(features, 3)
    u, s, _ = np.linalg.svd(features.double().numpy() - features.double().numpy().mean(0), False)
    assert np.allclose(np.abs(scores.numpy()), np.abs(u[:, :3] * s[:3]), atol=1e-6)


def test_the_sign_does_not_depend_on_the_sign_of_anything_else():
    features = torch.tensor([[3.0, 0.1], [-3.0, -0.1], [1.0, 0.0]])
    scores = principal_components(features, 1)
    assert scores[0] > 0 > scores[1]  # the first feature weighs most, positively


def test_outliers_do_not_set_the_range():
    scores = torch.cat([torch.arange(200.0), torch.tensor([1e6])])[:, None].double()
    unit = to_unit_range(scores)
    assert unit.min() == 0 and unit[-1] == 1
    assert unit[100].item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize('sign', [1, -1])
def test_objects_are_what_is_rare_at_the_edges(sign):
    scores = torch.zeros(1, 5, 5).double()
    scores[0, 1:4, 1:3] = sign
    expected = torch.zeros(1, 5, 5, dtype=torch.bool)
    expected[0, 1:4, 1:3] = True
    assert torch.equal(is_foreground(scores, 0.5), expected)


def test_equal_features_have_equal_colours_over_all_images():
    kinds = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    which = torch.tensor([[[0, 1], [2, 3]], [[4, 3], [2, 0]]])
    colours = component_colours(kinds[which])
    assert colours.shape == (2, 2, 2, 3)
    assert (colours[0, 0, 0] == colours[1, 1, 1]).all()
    assert (colours[0, 1, 1] == colours[1, 0, 1]).all()
    assert len({tuple(c) for c in colours.reshape(-1, 3)}) == 5


def test_background_is_white_and_too_little_foreground_an_error():
    features = torch.randn(1, 6, 6, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    features[0, 2:4, 2:4] += 5
    colours = component_colours(features, threshold=0.5)
    white = (colours == 255).all(-1)
    assert white[0].sum() >= 32 and not white[0, 2:4, 2:4].all()
    with pytest.raises(ValueError, match='keeps 0 of 36 patches'):
        component_colours(features, threshold=1.0)
