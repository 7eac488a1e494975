import numpy as np
import pytest

from mmc2fmae.label_ids import canonical_ids
from mmc2fmae.labeling.instances import (
    ThresholdSchedule,
    adaptive_threshold,
    compose_instances,
    distinct_boxes,
    without_islands,
)


def rectangle(shape, top, bottom, left, right):
    mask = np.zeros(shape, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def drawn(*rows):
    """A mask as it is drawn: '#' is inside."""
    return np.array([[sign == '#' for sign in row] for row in rows])


@pytest.mark.parametrize(
    ('scores', 'enough', 'expected'),
    [
        ([0.9, 0.6, 0.1], 1, 0.5),  # clearly visible: the start
        ([0.9, 0.6, 0.1], 2, 0.5),
        ([0.9, 0.6, 0.1], 3, 0.2),  # not even at the floor
        ([0.47], 1, 0.45),
        ([0.45], 1, 0.45),  # a score on the threshold counts
        ([0.4499], 1, 0.4),
        ([0.35], 1, 0.35),
        ([0.31, 0.36, 0.41], 2, 0.35),
        ([0.2], 1, 0.2),
        ([0.1], 1, 0.2),
        ([], 1, 0.2),
    ],
)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_threshold_is_the_highest_that_enough_detections_reach(scores, enough, expected, dtype):
    schedule = ThresholdSchedule(0.5, 0.05, 0.2, enough)
    assert adaptive_threshold(np.array(scores, dtype=dtype), schedule) == expected


def test_thresholds_never_go_below_the_floor_and_hit_it():
    # 0.5, 0.35, then not 0.2 but the floor
    schedule = ThresholdSchedule(0.5, 0.15, 0.3)
    assert adaptive_threshold(np.array([0.34]), schedule) == 0.3
    assert adaptive_threshold(np.array([0.36]), schedule) == 0.35
    assert adaptive_threshold(np.array([0.9]), ThresholdSchedule(0.3, 0.1, 0.3)) == 0.3
    # ten steps of 0.07 from 0.9 are 0.2 without the rounding errors of each
    assert adaptive_threshold(np.array([0.2]), ThresholdSchedule(0.9, 0.07, 0.1)) == 0.2


def test_thresholds_are_listed_as_they_read():
    assert ThresholdSchedule().thresholds() == [0.5, 0.45, 0.4, 0.35, 0.3, 0.25]
    assert ThresholdSchedule(0.5, 0.15, 0.3).thresholds() == [0.5, 0.35, 0.3]
    assert ThresholdSchedule(0.3, 0.1, 0.3).thresholds() == [0.3]


@pytest.mark.parametrize(
    'values',
    [
        dict(floor=0),
        dict(start=0.2, floor=0.25),
        dict(start=1.1),
        dict(step=0),
        dict(min_detections=0),
        dict(start=float('nan')),
    ],
)
def test_schedule_out_of_range_is_an_error(values):
    with pytest.raises(ValueError, match='expected 0 < floor <= start <= 1, step > 0'):
        ThresholdSchedule(**values)


def test_scores_that_are_not_finite_are_an_error():
    scores = np.array([0.5, np.nan])
    with pytest.raises(ValueError, match='1 of 2 scores are not finite'):
        adaptive_threshold(scores, ThresholdSchedule())
    with pytest.raises(ValueError, match='1 of 2 scores are not finite'):
        distinct_boxes(np.zeros((2, 4)), scores)
    with pytest.raises(ValueError, match='1 of 2 scores are not finite'):
        compose_instances(np.ones((2, 4, 4), dtype=bool), scores)


def test_boxes_of_one_object_leave_the_best():
    boxes = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 7]], dtype=np.float32
    )
    scores = np.array([0.5, 0.6, 0.9, 0.3], dtype=np.float32)
    # IoU with box 1 (0.6): box 0 has 90 / 100, box 3 has 70 / 90
    assert distinct_boxes(boxes, scores, iou=0.8).tolist() == [2, 1, 3]
    assert distinct_boxes(boxes, scores, iou=0.75).tolist() == [2, 1]
    assert distinct_boxes(boxes, scores, iou=0.95).tolist() == [2, 1, 0, 3]


def test_boxes_of_equal_score_leave_the_first():
    boxes = np.tile(np.float32([[0, 0, 10, 10], [50, 50, 60, 60]]), (50, 1))
    assert distinct_boxes(boxes, np.full(100, 0.5, dtype=np.float32)).tolist() == [0, 1]
    assert distinct_boxes(boxes[:0], np.zeros(0, dtype=np.float32)).tolist() == []


def test_islands_smaller_than_the_limit_go():
    mask = drawn(
        '.##...#',
        '.##....',
        '...#...',  # touches the square at a corner: part of it
        '......#',
        '.....##',
    )
    expected = mask.copy()
    expected[0, 6] = False
    assert np.array_equal(without_islands(mask, 2), expected)
    assert np.array_equal(without_islands(mask, 3), expected)
    expected[3:, 5:] = False
    assert np.array_equal(without_islands(mask, 4), expected)
    assert not without_islands(mask, 6).any()
    assert np.array_equal(without_islands(mask, 1), mask)
    assert not without_islands(np.zeros((3, 4), dtype=bool), 2).any()
    assert without_islands(np.ones((3, 4), dtype=bool), 12).all()


def test_higher_score_lies_on_top_and_ids_go_by_visible_area():
    shape = (10, 10)
    masks = np.stack(
        [
            rectangle(shape, 0, 4, 0, 10),  # 40 pixels, 20 of them under mask 1
            rectangle(shape, 2, 8, 0, 10),  # 60
            rectangle(shape, 9, 10, 0, 3),  # 3
            rectangle(shape, 7, 10, 5, 10),  # 15, 5 of them under mask 1
        ]
    )
    scores = np.array([0.5, 0.9, 0.3, 0.4])
    found = compose_instances(masks, scores, min_area=0.02)
    expected = np.zeros(shape, dtype=np.uint8)
    expected[0:2] = 2
    expected[2:8] = 1
    expected[8:10, 5:] = 3
    expected[9, 0:3] = 4
    assert found.labels.dtype == np.uint8
    assert found.labels.tolist() == expected.tolist()
    assert found.kept == (1, 0, 3, 2)


def test_ids_follow_the_visible_area_not_that_of_the_mask():
    masks = np.stack(
        [rectangle((10, 10), 0, 6, 0, 10), rectangle((10, 10), 1, 6, 0, 10)]  # 60 and 50 pixels
    )
    found = compose_instances(masks, np.array([0.5, 0.9]), duplicate_iou=0.9)
    assert found.kept == (1, 0)
    assert np.bincount(found.labels.ravel()).tolist() == [40, 50, 10]


def test_equal_scores_put_the_smaller_mask_on_top():
    masks = np.stack([rectangle((10, 10), 0, 10, 0, 10), rectangle((10, 10), 2, 5, 2, 5)])
    for order in ([0, 1], [1, 0]):
        found = compose_instances(masks[order], np.array([0.5, 0.5]))
        assert found.kept == (order.index(0), order.index(1))
        assert np.array_equal(found.labels == 2, masks[1])


def test_of_equal_areas_the_higher_score_then_the_lower_index_comes_first():
    masks = np.stack([rectangle((4, 12), 0, 4, 3 * i, 3 * i + 3) for i in range(4)])
    assert compose_instances(masks, np.array([0.5, 0.7, 0.5, 0.9])).kept == (3, 1, 0, 2)


def test_duplicate_of_a_higher_score_goes_and_its_rest_stays_background():
    masks = np.stack(
        [
            rectangle((10, 10), 0, 10, 0, 8),  # overlaps the next by 60 / 80
            rectangle((10, 10), 0, 10, 0, 6),
        ]
    )
    scores = np.array([0.4, 0.6])
    found = compose_instances(masks, scores, duplicate_iou=0.75)
    assert found.kept == (1,) and np.array_equal(found.labels == 1, masks[1])
    found = compose_instances(masks, scores, duplicate_iou=0.76)
    assert found.kept == (1, 0) and (found.labels == 2).sum() == 20


def test_duplicate_of_a_dropped_mask_stays():
    """Mask 1 is like 0, mask 2 is like 1 but not like 0: only 1 goes."""
    masks = np.stack([rectangle((10, 10), 0, 10, 0, w) for w in (4, 5, 7)])
    # overlaps: 40 / 50, 50 / 70, 40 / 70
    found = compose_instances(masks, np.array([0.9, 0.8, 0.7]), duplicate_iou=0.7)
    assert found.kept == (0, 2)
    assert np.bincount(found.labels.ravel()).tolist() == [30, 40, 30]


def test_hardly_visible_instance_goes_and_what_lies_beneath_shows_again():
    shape = (10, 10)
    masks = np.stack(
        [
            rectangle(shape, 0, 6, 0, 10),  # on top
            rectangle(shape, 0, 7, 0, 4),  # 28 pixels, but only 4 in row 6 are visible
            rectangle(shape, 5, 9, 0, 10),  # row 6 is in here, too
        ]
    )
    scores = np.array([0.9, 0.8, 0.7])
    found = compose_instances(masks, scores, min_area=0.05)
    assert found.kept == (0, 2)
    assert (found.labels[6] == 2).all()
    found = compose_instances(masks, scores, min_area=0.04)
    assert found.kept == (0, 2, 1)
    assert found.labels[6].tolist() == [3] * 4 + [2] * 6


def test_specks_beside_an_object_and_masks_of_specks_go():
    mask = rectangle((20, 20), 0, 10, 0, 10)
    specks = np.zeros_like(mask)
    specks[12::3, ::3] = True
    found = compose_instances(np.stack([mask | specks, specks]), np.array([0.5, 0.9]), 0.005)
    assert found.kept == (0,)
    assert np.array_equal(found.labels == 1, mask)


def test_limit_is_rounded_to_whole_pixels():
    # 0.07 x 100 is 7.000000000000001 in floating point
    masks = np.stack([rectangle((10, 10), 0, 1, 0, 7), rectangle((10, 10), 5, 6, 0, 6)])
    assert compose_instances(masks, np.array([0.5, 0.5]), min_area=0.07).kept == (0,)


def test_empty_masks_and_no_masks_are_an_empty_map():
    for masks in (np.zeros((0, 6, 8), dtype=bool), np.zeros((2, 6, 8), dtype=bool)):
        found = compose_instances(masks, np.full(len(masks), 0.5), min_area=0)
        assert found.labels.shape == (6, 8) and found.labels.dtype == np.uint8
        assert not found.labels.any() and found.kept == ()


def test_most_instances_are_those_of_the_highest_scores():
    masks = np.zeros((300, 20, 20), dtype=bool)
    for i in range(300):
        masks[i, i // 20, i % 20] = True
    scores = np.linspace(0.3, 0.9, 300)
    found = compose_instances(masks, scores, min_area=0)
    assert found.kept == tuple(range(299, 44, -1))
    assert found.labels.max() == 255 and (found.labels > 0).sum() == 255
    assert compose_instances(masks, scores, min_area=0, max_instances=2).kept == (299, 298)


def test_ids_are_canonical_complete_and_the_same_every_time():
    generator = np.random.default_rng(0)
    masks = np.zeros((30, 60, 80), dtype=bool)
    for mask in masks:
        top, left = generator.integers(0, 50, 2)
        height, width = generator.integers(1, 30, 2)
        mask[top : top + height, left : left + width] = True
    scores = np.round(generator.random(30), 1)  # with ties
    found = compose_instances(masks, scores, min_area=0.002)
    assert np.array_equal(canonical_ids(found.labels), found.labels)
    areas = np.bincount(found.labels.ravel())[1:]
    assert len(areas) == len(found.kept) > 5 and areas.min() >= 10
    for i, index in enumerate(found.kept, 1):
        assert masks[index][found.labels == i].all()
    fortran = np.asfortranarray(masks)
    for again in (
        compose_instances(masks, scores, 0.002),
        compose_instances(fortran, scores, 0.002),
    ):
        assert np.array_equal(again.labels, found.labels) and again.kept == found.kept


def test_order_of_the_detections_does_not_change_the_map():
    generator = np.random.default_rng(1)
    masks = np.stack(
        [
            rectangle((40, 40), t, t + h, t // 2, t // 2 + h)
            for t, h in generator.integers(3, 25, (12, 2))
        ]
    )
    scores = generator.permutation(12) / 12
    first = compose_instances(masks, scores)
    order = generator.permutation(12)
    other = compose_instances(masks[order], scores[order])
    assert np.array_equal(first.labels, other.labels)
    assert tuple(order[list(other.kept)]) == first.kept


@pytest.mark.parametrize(
    ('masks', 'scores', 'options', 'message'),
    [
        (np.ones((2, 4, 4)), np.ones(2), {}, r'masks are float64 \(2, 4, 4\)'),
        (np.ones((4, 4), dtype=bool), np.ones(4), {}, r'expected bool\s+\(n, h, w\)'),
        (np.ones((2, 4, 4), dtype=bool), np.ones(3), {}, r'scores \(3,\)'),
        (np.ones((1, 4, 4), dtype=bool), np.ones(1), dict(min_area=1.0), 'min_area 1.0'),
        (np.ones((1, 4, 4), dtype=bool), np.ones(1), dict(duplicate_iou=0), 'duplicate_iou 0'),
        (np.ones((1, 4, 4), dtype=bool), np.ones(1), dict(max_instances=256), 'max_instances 256'),
    ],
)
def test_bad_input_is_named(masks, scores, options, message):
    with pytest.raises(ValueError, match=message):
        compose_instances(masks, scores, **options)
