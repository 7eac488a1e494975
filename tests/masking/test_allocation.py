import numpy as np
import pytest

from mmc2fmae.masking import apportion, sample_visible_counts


def test_shares_follow_largest_remainder():
    rng = np.random.default_rng(0)
    # 10 x (3.3, 4.7, 2.0) / 10: floors 3, 4, 2, and the one left over goes to remainder 0.7.
    shares = apportion(np.array([10]), np.array([3.3, 4.7, 2.0]), np.array([9, 9, 9]), rng)
    assert shares.tolist() == [[3, 5, 2]]


def test_overflow_goes_to_the_others_in_proportion():
    rng = np.random.default_rng(0)
    # Weights 8 : 1 : 1 of 10 would be 8, 1, 1; the first takes 2, the others halve the 8 left.
    shares = apportion(np.array([10]), np.array([8.0, 1, 1]), np.array([2, 9, 9]), rng)
    assert shares.tolist() == [[2, 4, 4]]


def test_parts_without_weight_take_only_what_nobody_else_can():
    rng = np.random.default_rng(0)
    shares = apportion(np.array([3, 6]), np.array([1.0, 0.0]), np.array([4, 4]), rng)
    assert shares.tolist() == [[3, 0], [4, 2]]


def test_equal_remainders_are_decided_at_random():
    rng = np.random.default_rng(0)
    winners = np.zeros(4)
    for _ in range(2000):
        winners += apportion(np.array([1]), np.ones(4), np.ones(4), rng)[0]
    # Each of 4 equal parts wins 500 of 2000 draws; 5 standard deviations are 97.
    assert np.abs(winners - 500).max() < 97


@pytest.mark.parametrize('total', [-1, 7])
def test_impossible_totals_are_refused(total):
    with pytest.raises(ValueError, match=r'expected 0 <= total <= 6'):
        apportion(np.array([total]), np.ones(2), np.array([3, 3]), np.random.default_rng(0))


@pytest.mark.parametrize('num_visible', [1, 98, 147, 196, 400, 588])
def test_visible_counts_sum_to_the_budget_within_a_granularity(num_visible):
    rng = np.random.default_rng(1)
    for _ in range(200):
        counts = sample_visible_counts(3, num_visible, 196, rng)
        assert counts.sum() == num_visible
        assert counts.min() >= 0 and counts.max() <= 196


def test_visible_counts_spread_as_a_flat_dirichlet():
    rng = np.random.default_rng(2)
    counts = np.stack([sample_visible_counts(3, 98, 196, rng) for _ in range(4000)]) / 98
    # Dirichlet(1, 1, 1): mean 1/3 and variance 1/18 for each share.
    np.testing.assert_allclose(counts.mean(0), 1 / 3, atol=0.02)
    np.testing.assert_allclose(counts.var(0), 1 / 18, atol=0.006)


def test_large_concentration_shares_equally():
    counts = sample_visible_counts(3, 99, 196, np.random.default_rng(0), concentration=1e9)
    assert counts.tolist() == [33, 33, 33]
