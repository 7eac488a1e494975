import math

import pytest
import torch

from mmc2fmae.probes.health import entropy_rank, health, share_of_groups, share_of_line, variances


def test_variances_are_those_of_the_principal_directions_largest_first():
    # Along x: -1, 1; along y: -3, 3; each pair about its mean: 2 of 4 points move.
    features = torch.tensor([[-1.0, 0, 5], [1, 0, 5], [0, -3, 5], [0, 3, 5]])
    assert variances(features).tolist() == pytest.approx([18 / 4, 2 / 4, 0])


@pytest.mark.parametrize('number', [1, 2, 7])
def test_rank_of_equal_directions_is_their_number(number):
    weights = torch.tensor([0.3] * number + [0.0] * 3)
    assert entropy_rank(weights) == pytest.approx(number)


def test_rank_of_unequal_directions_lies_between():
    # Shares 3/4 and 1/4.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert entropy_rank(torch.tensor([3.0, 1.0])) == pytest.approx(math.exp(entropy))


def test_rank_without_variance_is_zero():
    assert entropy_rank(torch.zeros(4)) == 0


def test_rankme_gives_weak_directions_more_weight():
    # Variances 9 and 1: shares 0.9 and 0.1; singular values 3 and 1: shares 3/4 and 1/4.
    tokens = torch.tensor([[[3.0, 0]], [[-3, 0]], [[0, 1]], [[0, -1]]])
    found = health(tokens, torch.zeros(4, 1))
    rank = math.exp(-(0.9 * math.log(0.9) + 0.1 * math.log(0.1)))
    rankme = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert found['effective_rank'] == pytest.approx(rank)
    assert found['rankme'] == pytest.approx(rankme)
    assert found['first_direction'] == pytest.approx(0.9)


def test_share_of_groups_is_variance_between_their_means():
    # Means -1 and 1, about each -0.5 and 0.5: 1 of 1.25 lies between the groups.
    features = torch.tensor([[-1.5], [-0.5], [0.5], [1.5]])
    assert share_of_groups(features, torch.tensor([0, 0, 1, 1])) == pytest.approx(1 / 1.25)


def test_position_explains_what_all_photographs_have_in_common():
    of_positions = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    found = health(of_positions.expand(5, -1, -1), torch.zeros(5, 4))
    assert found['position'] == pytest.approx(1)
    assert found['brightness'] == 0


@pytest.mark.parametrize(('scale', 'shift'), [(1.0, 0.0), (-3.0, 2.0), (0.01, 100.0)])
def test_brightness_explains_what_is_linear_in_it(scale, shift):
    values = torch.tensor([0.0, 1, 2, 5], dtype=torch.float64)
    features = torch.stack([scale * values + shift, values], dim=1)
    assert share_of_line(features, values) == pytest.approx(1)


def test_brightness_explains_a_share_where_something_else_varies_too():
    values = torch.tensor([-1.0, -1, 1, 1])
    features = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    assert share_of_line(features, values) == pytest.approx(0.5)


def test_tokens_that_are_all_alike_have_rank_zero():
    found = health(torch.ones(3, 2, 4), torch.arange(6.0).view(3, 2))
    assert found == dict(
        effective_rank=0.0, rankme=0.0, first_direction=1.0, position=0.0, brightness=0.0
    )
