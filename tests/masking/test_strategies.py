"""Each formula's counts hold exactly over random label maps, whatever the maps look like."""

import numpy as np
import pytest

from mmc2fmae.masking import (
    PRESETS,
    blend_top_k,
    instance_guided_mask,
    patch_labels,
    progressive_mask,
    random_mask,
    select_objects,
    semantic_guided_mask,
)

N = 196


def random_cases(count=150):
    """Random patch labels, budgets and seeds: from one region to many, from no mask to all."""
    rng = np.random.default_rng(7)
    for seed in range(count):
        blocks = rng.integers(1, 8)
        coarse = rng.integers(0, rng.integers(1, 30), (blocks, blocks))
        labels = np.kron(coarse, np.ones((14, 14), int))[::blocks, ::blocks].reshape(-1)
        yield labels, rng.integers(0, N + 1, 3), np.random.default_rng(seed)


def test_patch_label_is_the_most_frequent_id_and_the_lowest_on_a_tie():
    label_map = np.array([[5, 5, 1, 2], [5, 3, 2, 1], [0, 0, 9, 9], [0, 7, 9, 9]], dtype=np.uint8)
    labels = patch_labels(label_map, cell=2)
    assert labels.tolist() == [5, 1, 0, 9]
    assert labels.dtype == np.uint8


def test_patch_labels_keep_16_bit_ids():
    label_map = np.full((4, 4), 40_000, dtype=np.int32)
    assert patch_labels(label_map, cell=2).tolist() == [40_000] * 4


def test_patch_labels_refuse_a_map_that_does_not_divide():
    with pytest.raises(ValueError, match='5 x 4 does not divide into cells of 2'):
        patch_labels(np.zeros((5, 4), dtype=np.uint8), cell=2)


def test_semantic_counts_hold_eq_6_in_every_region():
    for labels, num_masked, rng in random_cases():
        masks = semantic_guided_mask(labels, num_masked, rng)
        assert (masks.sum(1) == num_masked).all()
        for c in np.unique(labels):
            area = (labels == c).sum()
            floor = num_masked * area // N  # Eq. 6
            got = masks[:, labels == c].sum(1)
            assert ((got == floor) | (got == floor + 1)).all()


def test_class_weights_move_masks_between_regions():
    labels = np.repeat([0, 1], N // 2)
    masks = semantic_guided_mask(labels, np.array([80]), np.random.default_rng(0), {1: 3.0})
    assert masks[0, labels == 1].sum() == 60  # 80 x 3 / (1 + 3)
    assert masks[0, labels == 0].sum() == 20


@pytest.mark.parametrize('alpha', [0.51, 0.6, 0.75, 1.0])
def test_instance_counts_hold_eq_8_or_fill_the_smaller_side(alpha):
    for labels, num_masked, rng in random_cases():
        masks = instance_guided_mask(labels, num_masked, rng, alpha)
        objects = labels > 0
        assert (masks.sum(1) == num_masked).all()
        if not objects.any():
            continue
        for k, got in zip(num_masked, masks[:, objects].sum(1), strict=True):
            floor = int(np.floor(round(alpha * k, 6)))  # Eq. 8
            # What one side cannot take is the other side's: at most all objects, at least what
            # does not fit into the background.
            assert got == min(max(floor, k - (~objects).sum()), objects.sum())


def test_instance_count_is_not_lost_to_binary_rounding():
    labels = np.repeat([0, 1], N // 2)
    masks = instance_guided_mask(labels, np.array([100]), np.random.default_rng(0), alpha=0.57)
    assert masks[0, labels == 1].sum() == 57  # 0.57 x 100 is 56.99999999999999 in binary


def test_without_objects_the_instance_mask_is_uniform():
    rng = np.random.default_rng(3)
    hits = np.zeros(N)
    for _ in range(1500):
        hits += instance_guided_mask(np.zeros(N, int), np.array([98]), rng)[0]
    assert np.abs(hits - 750).max() < 5 * np.sqrt(1500 / 4)


def test_small_and_surplus_instances_do_not_guide_the_mask():
    labels = np.array([0, 1, 1, 1, 2, 2, 3, 3, 4])
    assert select_objects(labels, min_area=2).tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 0]
    assert select_objects(labels, max_instances=2).tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]


def test_random_mask_counts_and_uniformity():
    rng = np.random.default_rng(5)
    hits = np.zeros((2, N))
    for _ in range(1000):
        masks = random_mask(np.array([49, 147]), N, rng)
        assert masks.sum(1).tolist() == [49, 147]
        hits += masks
    assert np.abs(hits[0] - 250).max() < 5 * np.sqrt(1000 * 0.25 * 0.75)


def test_blend_takes_the_highest_scores_first():
    a = np.array([[True, True, False, False]])
    b = np.array([[True, False, True, False]])
    # Scores by Eq. 10 with weights 0.6 and 0.4: 1.0, 0.6, 0.4, 0.
    for k, expected in ((1, [1, 0, 0, 0]), (2, [1, 1, 0, 0]), (3, [1, 1, 1, 0])):
        mask = blend_top_k([a, b], [0.6, 0.4], np.array([k]), np.random.default_rng(0))
        assert mask[0].tolist() == expected


def test_ties_are_not_broken_by_position():
    rng = np.random.default_rng(11)
    first, second = np.zeros((2, 1, N), dtype=bool)
    first[:, : N // 2], second[:, N // 2 :] = True, True
    hits = np.zeros(N)
    for _ in range(2000):  # all scores are 0.5
        hits += blend_top_k([first, second], [0.5, 0.5], np.array([98]), rng)[0]
    # Every position is masked in half of the draws; a positional rule would give 0 or 2000.
    assert np.abs(hits - 1000).max() < 5 * np.sqrt(2000 / 4)


@pytest.mark.parametrize('alphas', [(0.5, 0.5), (0.3, 0.3), (0.0, 0.4), (0.6, 0.0)])
def test_blend_masks_exactly_k_positions(alphas):
    for labels, num_masked, rng in random_cases(60):
        masks = progressive_mask(num_masked, N, *alphas, rng, labels, labels)
        assert masks.shape == (3, N)
        assert (masks.sum(1) == num_masked).all()  # Eq. 11


def test_blend_prefers_positions_that_all_strategies_mask():
    labels = np.repeat([0, 1], N // 2)
    rng = np.random.default_rng(0)
    # All instance-guided masks lie on the object (alpha = 1); with weight 0.6 they outscore the
    # semantic ones, which are spread evenly.
    masks = progressive_mask(np.array([90]), N, 0.4, 0.6, rng, labels, labels, alpha=1.0)
    assert masks[0, labels == 1].sum() == 90


@pytest.mark.parametrize(
    ('preset', 't', 'strategy'),
    [
        ('SG-IG-RD', 0, 'SG'),
        ('SG-IG-RD', 0.5, 'IG'),
        ('SG-IG-RD', 1, 'RD'),
        ('IG-SG-RD', 0, 'IG'),
        ('IG-SG-RD', 0.5, 'SG'),
        ('IG-SG-RD', 1, 'RD'),
        ('RD-IG-SG', 0, 'RD'),
        ('RD-IG-SG', 0.5, 'IG'),
        ('RD-IG-SG', 1, 'SG'),
    ],
)
def test_presets_give_pure_strategies_at_start_middle_and_end(preset, t, strategy):
    alpha_s, alpha_i = PRESETS[preset](t)
    for labels, num_masked, _ in random_cases(20):
        got = progressive_mask(
            num_masked, N, alpha_s, alpha_i, np.random.default_rng(1), labels, labels
        )
        rng = np.random.default_rng(1)
        pure = {
            'SG': lambda: semantic_guided_mask(labels, num_masked, rng),
            'IG': lambda: instance_guided_mask(labels, num_masked, rng),
            'RD': lambda: random_mask(num_masked, N, rng),
        }[strategy]()
        assert (got == pure).all()
