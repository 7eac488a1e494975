"""Each formula's counts hold exactly over random label maps, whatever the maps look like."""

import numpy as np
import pytest

from mmc2fmae.masking import (
    PRESETS,
    MaskingRules,
    blend_top_k,
    instance_guided_mask,
    leading_strategy,
    patch_labels,
    progressive_mask,
    random_mask,
    select_objects,
    semantic_guided_mask,
)

N, GRID = 196, (14, 14)


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
        masks = instance_guided_mask(labels > 0, num_masked, rng, alpha)
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
    masks = instance_guided_mask(labels > 0, np.array([100]), np.random.default_rng(0), alpha=0.57)
    assert masks[0, labels == 1].sum() == 57  # 0.57 x 100 is 56.99999999999999 in binary


def test_without_objects_the_instance_mask_is_uniform():
    rng = np.random.default_rng(3)
    hits = np.zeros(N)
    for _ in range(1500):
        hits += instance_guided_mask(np.zeros(N, bool), np.array([98]), rng)[0]
    assert np.abs(hits - 750).max() < 5 * np.sqrt(1500 / 4)


def test_small_and_surplus_instances_do_not_guide_the_mask():
    labels, grid = np.array([0, 1, 1, 1, 2, 2, 3, 3, 4]), (3, 3)
    chosen = select_objects(labels, grid, MaskingRules(min_area=2))
    assert chosen.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 0]
    chosen = select_objects(labels, grid, MaskingRules(max_instances=2))
    assert chosen.tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]


def test_central_instances_are_those_whose_centroid_is_nearest_to_the_centre():
    # 3 x 5 patches, the centre is (1, 2). Centroids: 1 at (0, 0), distance² 5; 2 at (1, 2.5), 0.25;
    # 3 at (2, 2), 1; 4 (rows 0 and 2 of the last column) at (1, 4), 4.
    labels = np.array([[1, 0, 0, 0, 4], [0, 0, 2, 2, 0], [0, 0, 3, 0, 4]]).reshape(-1)
    for number, kept in ((1, {2}), (2, {2, 3}), (3, {2, 3, 4}), (4, {1, 2, 3, 4})):
        rules = MaskingRules(max_instances=number, prefer='central')
        chosen = select_objects(labels, (3, 5), rules)
        assert set(labels[chosen]) == kept and (labels[~chosen] == 0).sum() == 9
    # Size comes first: what is smaller than min_area does not take the place of another.
    rules = MaskingRules(min_area=2, max_instances=2, prefer='central')
    assert set(labels[select_objects(labels, (3, 5), rules)]) == {2, 4}


def test_equally_central_instances_keep_the_lower_id():
    labels = np.array([[2, 0, 1], [0, 0, 0], [3, 0, 0]]).reshape(-1)
    chosen = select_objects(labels, (3, 3), MaskingRules(max_instances=2, prefer='central'))
    assert set(labels[chosen]) == {1, 2}


@pytest.mark.parametrize(
    ('num_objects', 'cap', 'on_objects'),
    [
        (40, 1.0, [40, 40, 40]),  # as printed: floor(0.75 k) is 90, 120, 147, more than there are
        # k / N is 0.612, 0.816, 1: caps of 0.85, 0.85 and 1 of 40 are 34, 34 and 40.
        (40, 0.85, [34, 34, 40]),
        (40, 0.61, [24, 32, 40]),  # floors of 0.612 x 40 and 0.816 x 40
        (150, 0.9, [90, 120, 150]),  # floor(0.75 k) stays below 135; all of the last is masked
        (196, 0.85, [120, 160, 196]),  # the image is one object
    ],
)
def test_a_cap_leaves_a_part_of_the_objects_visible(num_objects, cap, on_objects):
    objects = np.arange(N) < num_objects
    num_masked = np.array([120, 160, 196])
    rng = np.random.default_rng(0)
    masks = instance_guided_mask(objects, num_masked, rng, cap=cap)
    assert masks.sum(1).tolist() == num_masked.tolist()
    assert masks[:, objects].sum(1).tolist() == on_objects


def test_no_cap_masks_objects_less_than_random_masks_would_and_whoever_sees_sees_an_object():
    for labels, num_masked, rng in random_cases():
        objects = labels > 0
        if not objects.any():
            continue
        printed = instance_guided_mask(objects, num_masked, rng)[:, objects].sum(1)
        masks = instance_guided_mask(objects, num_masked, rng, cap=0.5)
        assert (masks.sum(1) == num_masked).all()
        got = masks[:, objects].sum(1)
        shares = np.maximum(0.5, num_masked / N)  # of the objects, as far as Eq. 8 asks for it
        assert (got == np.minimum(printed, np.floor(shares * objects.sum() + 1e-6))).all()
        assert (got[num_masked < N] < objects.sum()).all()


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
        mask, _ = blend_top_k([a, b], [0.6, 0.4], np.array([k]), np.random.default_rng(0))
        assert mask[0].tolist() == expected


def test_a_masked_patch_is_due_to_the_largest_coefficient_among_those_that_mask_it():
    a = np.array([[True, True, False, False], [True, True, True, True]])
    b = np.array([[True, False, True, False], [False, False, False, True]])
    rng = np.random.default_rng(0)
    # Row 0 masks patches 0 (a and b), 1 (a) and 2 (b), row 1 patches 0 to 3, all of them a's.
    _, shares = blend_top_k([a, b], [0.6, 0.4], np.array([3, 4]), rng)
    assert shares.tolist() == [6 / 7, 1 / 7]
    _, shares = blend_top_k([a, b], [0.5, 0.5], np.array([3, 4]), rng)  # both share 0 and 3
    assert shares.tolist() == pytest.approx([5 / 7, 2 / 7])


def test_a_coefficient_above_one_half_explains_every_masked_patch():
    for labels, num_masked, rng in random_cases(40):
        for alphas, name in (((0.51, 0.49), 0), ((0.3, 0.6), 1), ((0.2, 0.2), 2)):
            masks, shares = progressive_mask(num_masked, GRID, *alphas, rng, labels, labels)
            if masks.any():
                assert shares[name] == 1 and shares.sum() == 1


def test_without_structure_and_majority_the_first_two_explain_three_and_one_quarter():
    # Two patches, one of them masked: each strategy masks either with probability 1/2. Three equal
    # choices, or two with the largest coefficient among them, are its own; where the other two
    # agree against it, they win (0.35 + 0.25 > 0.4), and the larger of them is credited.
    rng, labels, total = np.random.default_rng(0), np.zeros(2, int), np.zeros(3)
    for _ in range(4000):
        total += progressive_mask(np.array([1]), (1, 2), 0.4, 0.35, rng, labels, labels).shares
    # 5 standard deviations of 4000 draws with probability 1/4 are 0.034.
    np.testing.assert_allclose(total / 4000, [0.75, 0.25, 0], atol=0.034)
    assert total[2] == 0


def test_ties_are_not_broken_by_position():
    rng = np.random.default_rng(11)
    first, second = np.zeros((2, 1, N), dtype=bool)
    first[:, : N // 2], second[:, N // 2 :] = True, True
    hits = np.zeros(N)
    for _ in range(2000):  # all scores are 0.5
        hits += blend_top_k([first, second], [0.5, 0.5], np.array([98]), rng).masks[0]
    # Every position is masked in half of the draws; a positional rule would give 0 or 2000.
    assert np.abs(hits - 1000).max() < 5 * np.sqrt(2000 / 4)


@pytest.mark.parametrize('alphas', [(0.5, 0.5), (0.3, 0.3), (0.0, 0.4), (0.6, 0.0)])
def test_blend_masks_exactly_k_positions(alphas):
    for labels, num_masked, rng in random_cases(60):
        masks, _ = progressive_mask(num_masked, GRID, *alphas, rng, labels, labels)
        assert masks.shape == (3, N)
        assert (masks.sum(1) == num_masked).all()  # Eq. 11


def test_blend_prefers_positions_that_all_strategies_mask():
    labels = np.repeat([0, 1], N // 2)
    rng = np.random.default_rng(0)
    # All instance-guided masks lie on the object (alpha = 1); with weight 0.6 they outscore the
    # semantic ones, which are spread evenly.
    rules = MaskingRules(alpha=1.0)
    masks, _ = progressive_mask(np.array([90]), GRID, 0.4, 0.6, rng, labels, labels, rules)
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
        got, shares = progressive_mask(
            num_masked, GRID, alpha_s, alpha_i, np.random.default_rng(1), labels, labels
        )
        assert shares.tolist() == [float(strategy == name) for name in ('SG', 'IG', 'RD')]
        rng = np.random.default_rng(1)
        pure = {
            'SG': lambda: semantic_guided_mask(labels, num_masked, rng),
            'IG': lambda: instance_guided_mask(labels > 0, num_masked, rng),
            'RD': lambda: random_mask(num_masked, N, rng),
        }[strategy]()
        assert (got == pure).all()


@pytest.mark.parametrize(
    ('alphas', 'strategy'),
    [
        ((0.6, 0.4), 0),
        ((0.3, 0.7), 1),
        ((0.1, 0.2), 2),
        ((0.5, 0.5), None),
        ((0.5, 0.2), None),
        ((1.0, 0.0), 0),
    ],
)
def test_a_coefficient_above_one_half_leads(alphas, strategy):
    assert leading_strategy(*alphas) == strategy


@pytest.mark.parametrize('alphas', [(0.6, 0.4), (0.3, 0.7), (0.6, 0.1), (0.2, 0.6), (0.1, 0.2)])
def test_the_leading_mask_is_the_blend_and_what_is_drawn_later_is_the_same(alphas):
    semantic = np.random.default_rng(0).integers(0, 7, 64)
    instance = np.random.default_rng(1).integers(0, 3, 64)
    num_masked = np.array([20, 40, 50])
    rng, again = (np.random.default_rng(2) for _ in range(2))
    found = progressive_mask(num_masked, (8, 8), *alphas, rng, semantic, instance)
    # All three strategies, as Eq. 10-11 have it.
    objects = select_objects(instance, (8, 8))
    drawn = [
        semantic_guided_mask(semantic, num_masked, again),
        instance_guided_mask(objects, num_masked, again),
    ]
    weights = [*alphas]
    if sum(alphas) < 1:
        drawn.append(random_mask(num_masked, 64, again))
        weights.append(1 - sum(alphas))
    expected = blend_top_k(drawn, weights, num_masked, again)
    assert np.array_equal(found.masks, expected.masks)
    assert found.shares[: len(weights)].tolist() == pytest.approx(expected.shares.tolist())
    assert rng.random() == again.random()
