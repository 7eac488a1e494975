"""Intervals beside values worked out by hand with a printed table of Student's t."""

import pytest

from mmc2fmae.reproduce.differences import common_half, difference_table, paired_difference


def test_the_interval_is_students_t_of_the_differences():
    # Mean 4, deviation sqrt((9 + 1 + 4) / 2) = 2.646; t(2, 0.975) = 4.303: 4.303 x 2.646 / sqrt(3).
    found = paired_difference([1.0, 5.0, 6.0])
    assert found.mean == 4 and found.half == pytest.approx(6.573, abs=1e-3)
    assert not found.resolved
    # With n seeds it takes t(n - 1) / sqrt(n) < 4 / 2.646 = 1.512: 3.182 / 2 = 1.591 with four is
    # not enough, 2.776 / sqrt(5) = 1.241 with five is.
    assert found.needed == 5


def test_a_difference_that_is_alike_with_every_seed_is_resolved_by_those_there_are():
    # Deviation sqrt(1 / 2) / sqrt(2) = 0.5 of the mean, t(1) = 12.706: 6.353.
    found = paired_difference([9.5, 10.5])
    assert found.half == pytest.approx(6.353, abs=1e-3)
    assert found.resolved and found.needed == 2
    assert paired_difference([2.0, 2.0, 2.0]) == (2, 0, 3)


@pytest.mark.parametrize('values', [[-1.0, 1.0], [0.0, 0.0], [-1.0, 1.0 + 1e-9]])
def test_no_number_of_seeds_resolves_what_is_no_difference(values):
    found = paired_difference(values)
    assert not found.resolved and found.needed is None


def test_every_two_rows_are_compared_over_the_seeds_that_both_have():
    top1 = dict(A={0: 50.0, 1: 52.0, 2: 51.0}, B={0: 60.0, 1: 61.0}, C={2: 55.0, 0: 51.0, 1: 57.0})
    ap = dict(A={0: 10.0}, B={0: 12.0})  # one seed alone says nothing
    lines, about = difference_table(dict(Acc=top1, AP=ap))
    assert lines == [
        ['difference', 'Acc', 'AP', 'seeds'],
        # 10 and 9, deviation 0.707: 12.706 x 0.707 / sqrt(2) = 6.353.
        ['B - A', '+9.5 ± 6.4', '', '2'],
        # 1, 5 and 4: deviation 2.082, 4.303 x 2.082 / sqrt(3) = 5.171; 2.776 / sqrt(5) x 2.082 is
        # 2.584, below the mean of 3.333, and 3.182 / 2 x 2.082 = 3.312 with four is, too.
        ['C - A', '+3.3 ± 5.2 (4)', '', '3'],
        # -9 and -4: deviation 3.536, half 31.77; t / sqrt(n) must be below 1.838: 1.591 with four.
        ['C - B', '-6.5 ± 31.8 (4)', '', '2'],
    ]
    assert 'holds 0: 2 of 3;' in about


@pytest.mark.parametrize('values', [{}, dict(A={0: 1.0}, B={0: 2.0}), dict(A={0: 1.0, 1: 2.0})])
def test_without_two_shared_seeds_nothing_is_said(values):
    assert difference_table(dict(Acc=values)) == ([], '')


def test_one_deviation_for_all_rows_is_the_noise_that_rows_and_seeds_leave():
    # Rows 2, 4, 6 and seeds 3, 5 around 4: noise 0 0, -1 1, 1 -1; sqrt(4 / (2 x 1)) = 1.414, and
    # t(2, 0.975) = 4.303: 4.303 x 1.414 x sqrt(2 / 2). A third seed of one row does not count.
    half, seeds = common_half(
        dict(A={0: 1.0, 1: 3.0}, B={1: 6.0, 0: 2.0, 2: 9.0}, C={0: 6.0, 1: 6.0})
    )
    assert half == pytest.approx(6.085, abs=1e-3) and seeds == [0, 1]


@pytest.mark.parametrize(
    'values',
    [
        {},
        dict(A={0: 1.0, 1: 2.0}, B={0: 1.0, 1: 3.0}),
        dict(A={0: 1.0, 1: 2.0}, B={0: 1.0, 1: 3.0}, C={1: 4.0, 2: 5.0}),
    ],
)
def test_one_deviation_needs_three_rows_that_share_two_seeds(values):
    assert common_half(values) is None


def test_what_one_deviation_resolves_is_named():
    # As above with C 10 higher; two rows of AP are too few, and a row without numbers is none.
    top1 = dict(A={0: 1.0, 1: 3.0}, B={0: 2.0, 1: 6.0}, C={0: 16.0, 1: 16.0}, D={})
    ap = dict(A={0: 1.0, 1: 2.0}, B={0: 2.0, 1: 3.0})
    _, about = difference_table(dict(Acc=top1, AP=ap))
    assert about.endswith(
        'With one deviation for all rows (number = row + seed + noise): '
        'Acc ± 6.1 over 2 seeds, resolved: C - A, C - B.'
    )
    _, about = difference_table(dict(Acc={**top1, 'C': {0: 6.0, 1: 6.0}}))
    assert about.endswith('Acc ± 6.1 over 2 seeds, resolved: none.')
