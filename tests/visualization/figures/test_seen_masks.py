"""What masks hide on two small maps, beside what was computed by hand."""

import numpy as np
import pytest

from mmc2fmae.datasets.transforms import ProgressiveMasking
from mmc2fmae.visualization.figures.seen_masks import (
    TIMES,
    Seen,
    draw_samples,
    table_of,
    watch_masks,
)

NAMES = ['rgb', 'instance', 'semantic']


def sample_of(objects, cell=2):
    """A sample of 4 x 4 patches whose object, in a class of its own, covers these patches."""
    labels = np.zeros(16, np.uint8)
    labels[objects] = 1
    labels = labels.reshape(4, 4).repeat(cell, 0).repeat(cell, 1)
    return dict(
        rgb=np.zeros((32, 32, 3), np.uint8), instance=labels, semantic=labels, granularities=NAMES
    )


SMALL, LARGE = sample_of([5, 6, 9, 10]), sample_of(range(12))


def watch(sample, times=TIMES, repeats=1, **options):
    """Mask 12 of 16 patches of every granularity: the budget is shared evenly."""
    masking = ProgressiveMasking(patch_size=8, num_visible=12, concentration=1e9, **options)
    return watch_masks(masking, [sample] * repeats, times)


# Random masks hide the four object patches of one granularity where all 4 visible ones are among
# the 12 others: C(12, 4) / C(16, 4) = 495 / 1820; of three granularities:
RANDOM = (495 / 1820) ** 3  # 0.0201


def test_top_k_switches_twice_and_hides_a_small_object_between():
    # SG masks 12 x 4 / 16 = 3 of the 4 object patches: one is visible. IG would mask 9 of them, so
    # it masks all 4. RD hides them by chance.
    seen = watch(SMALL, repeats=300)
    for t, shares, hidden in zip(seen.times, seen.shares, seen.hidden, strict=True):
        if t < 0.25:
            assert shares.tolist() == [1, 0, 0] and hidden == 0
        elif 0.25 < t < 0.75:
            assert shares.tolist() == [0, 1, 0] and hidden == 1
        elif t > 0.75:
            assert shares.tolist() == [0, 0, 1]
            assert abs(hidden - RANDOM) < 5 * np.sqrt(RANDOM / 300)
        else:  # equal coefficients share the masked patches
            assert shares.max() == pytest.approx(0.5, abs=0.05)


def test_a_large_object_shows_a_part_whatever_guides():
    # IG masks floor(0.75 x 12) = 9 of its 12 patches, SG 12 x 12 / 16 = 9; random masks hide it
    # where the 4 visible patches are the only 4 others: (1 / 1820) ** 3.
    assert watch(LARGE, repeats=20).hidden.tolist() == [0] * len(TIMES)


def test_drawn_strategies_follow_the_coefficients():
    times = (0, 0.1, 0.25, 0.4, 0.5, 0.7, 0.75, 1)
    seen = watch(SMALL, times, repeats=600, blend='draw')
    # alpha_S, alpha_I and what is left, by hand from the knots of D6.
    shares = np.array(
        [
            [1, 0, 0], [0.8, 0.2, 0], [0.5, 0.5, 0], [0.2, 0.8, 0], [0, 1, 0], [0, 0.6, 0.4],
            [0, 0.5, 0.5], [0, 0, 1],
        ]
    )  # fmt: skip
    # 5 standard deviations of 600 draws are at most 0.102.
    np.testing.assert_allclose(seen.shares, shares, atol=0.102)
    np.testing.assert_allclose(seen.hidden, shares[:, 1] + RANDOM * shares[:, 2], atol=0.102)
    assert (seen.shares[[0, 4, 7]] == shares[[0, 4, 7]]).all()


def test_a_cap_leaves_one_of_four_patches_visible():
    # floor(0.8 x 4) = 3 object patches of each granularity are masked.
    seen = watch(SMALL, (0.3, 0.5, 0.7), repeats=50, object_cap=0.8)
    assert seen.shares.tolist() == [[0, 1, 0]] * 3 and seen.hidden.tolist() == [0, 0, 0]


def test_overlapping_coefficients_put_the_first_two_in_every_mask():
    # Two patches, one masked, one region: all strategies are fair coins. The strongest decides
    # unless the two others agree against it, in one of four cases; then the second is credited.
    labels = np.zeros((1, 2), np.uint8)
    pair = dict(
        rgb=np.zeros((8, 16, 3), np.uint8), instance=labels, semantic=labels, granularities=NAMES
    )
    masking = ProgressiveMasking(
        patch_size=8, num_visible=3, concentration=1e9, curriculum='SG-IG-RD-overlap'
    )
    seen = watch_masks(masking, [pair] * 1000, (0.1, 0.3, 0.45, 0.6, 0.7, 0.9))
    # By hand from the knots: t = 0.3 (0.45, 0.34, 0.21), 0.45 (0.275, 0.46, 0.265),
    # 0.6 (0.23, 0.42, 0.35), 0.7 (0.21, 0.34, 0.45); before and after one has the majority.
    wanted = [[1, 0, 0], [0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0.75, 0.25], [0, 0.25, 0.75],
              [0, 0, 1]]  # fmt: skip
    # 3000 masks a point: 5 standard deviations are 0.04.
    np.testing.assert_allclose(seen.shares, wanted, atol=0.04)
    assert np.isnan(seen.hidden).all()  # there is no object


def test_without_instance_maps_nobody_says_what_is_hidden():
    masking = ProgressiveMasking(('rgb',), patch_size=8, num_visible=4, curriculum='RD')
    seen = watch_masks(masking, draw_samples(masking, 32, 3), (0, 1))
    assert np.isnan(seen.hidden).all() and seen.shares.tolist() == [[0, 0, 1]] * 2


def test_the_table_has_a_line_a_time_in_percent():
    first = Seen((0, 0.5), np.array([[1, 0, 0], [0, 0.996, 0.004]]), np.array([0, 0.25]))
    second = Seen((0, 0.5), np.array([[0, 0, 1.0]] * 2), np.array([np.nan, np.nan]))
    assert table_of(['A', 'B'], [first, second]).splitlines() == [
        '| t | A: SG / IG / RD | hidden | B: SG / IG / RD | hidden |',
        '| --- | --- | --- | --- | --- |',
        '| 0.00 | 100 / 0 / 0 | 0 | 0 / 0 / 100 | - |',
        '| 0.50 | 0 / 100 / 0 | 25 | 0 / 0 / 100 | - |',
    ]
