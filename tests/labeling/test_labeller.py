from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmc2fmae.label_ids import IGNORE
from mmc2fmae.labeling.detection import Detections
from mmc2fmae.labeling.instances import ThresholdSchedule
from mmc2fmae.labeling.labeller import Labeller, MergeOptions, choose
from mmc2fmae.labeling.models import UnusableOutput
from mmc2fmae.labeling.photographs import Photograph
from mmc2fmae.labeling.semantics import SemanticMap


def detections(*rows):
    """Detections from (x1, y1, x2, y2, score, class)."""
    rows = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(int), 1)


class Boxes:
    """A segmenter whose masks are the boxes."""

    def __call__(self, images, boxes):
        found = []
        for image, own in zip(images, boxes, strict=True):
            masks = np.zeros((len(own), *image.shape[:2]), bool)
            for mask, (x1, y1, x2, y2) in zip(masks, own.astype(int), strict=True):
                mask[y1:y2, x1:x2] = True
            found.append(masks)
        return found


class LeftHalf:
    """A semantic labeller: class 7 on the left, unknown on the right."""

    classes = tuple('abcdefgh')

    def __call__(self, images):
        found = []
        for image in images:
            labels = np.full(image.shape[:2], 7, np.uint8)
            labels[:, image.shape[1] // 2 :] = IGNORE
            found.append(SemanticMap(labels, 0.5))
        return found


def label(found, photos, segmenter=None, batch_size=8, **merge):
    labeller = Labeller(
        lambda images, names, floor: found,
        segmenter or Boxes(),
        LeftHalf(),
        MergeOptions(**merge),
        batch_size,
    )
    with ThreadPoolExecutor(2) as pool:
        return labeller(photos, [('cat', 'dog')] * len(photos), pool)


def photo(height=10, width=20, times=1):
    return Photograph(np.zeros((height, width, 3), np.uint8), width * times, height * times)


def test_a_photograph_becomes_two_maps_and_a_line():
    found = detections((0, 0, 5, 10, 0.9, 1), (0, 0, 20, 10, 0.8, 0))
    (labels,) = label([found], [photo()])
    assert (labels.instance[:, :5] == 2).all()  # the dog is on top, the cat is larger
    assert (labels.instance[:, 5:] == 1).all()
    assert (labels.semantic[:, :10] == 7).all()
    assert (labels.semantic[:, 10:] == IGNORE).all()
    assert labels.record == dict(
        width=20,
        height=10,
        instances=[
            dict(id=1, name='cat', score=0.8, box=[0.0, 0.0, 20.0, 10.0], area=150),
            dict(id=2, name='dog', score=0.9, box=[0.0, 0.0, 5.0, 10.0], area=50),
        ],
        threshold=0.5,
        detections=2,
        chunks=1,
        coverage=1.0,
        semantic_score=0.5,
        semantic_coverage=0.5,
    )


def test_maps_and_boxes_have_the_stored_size():
    (labels,) = label([detections((2, 0, 4, 10, 0.9, 0))], [photo(times=3)])
    assert labels.instance.shape == labels.semantic.shape == (30, 60)
    assert labels.record['instances'][0]['box'] == [6.0, 0.0, 12.0, 30.0]
    assert labels.record['instances'][0]['area'] == 30 * 6
    assert labels.instance[:, 6:12].all() and labels.instance.sum() == 180


def test_ids_go_by_area_in_stored_size():
    # In 3 x 4 the upper instance has 4 pixels, the lower 8; of 8 rows each third gets 2, 3, 3.
    found = detections((0, 0, 4, 1, 0.9, 0), (0, 1, 4, 2, 0.8, 1))
    small = Photograph(np.zeros((3, 4, 3), np.uint8), 4, 8)
    (labels,) = label([found], [small])
    areas = np.bincount(labels.instance.ravel())[1:]
    assert (np.diff(areas) <= 0).all()
    assert [one['area'] for one in labels.record['instances']] == areas.tolist()


def test_no_detection_is_an_empty_map():
    (labels,) = label([detections()], [photo()])
    assert not labels.instance.any()
    assert labels.record['instances'] == [] and labels.record['coverage'] == 0
    assert labels.record['threshold'] == 0.25  # the floor


def test_a_repeated_box_does_not_count_as_a_second_detection():
    found = detections((0, 0, 10, 10, 0.6, 0), (0, 0, 10, 9.9, 0.59, 1), (10, 0, 20, 10, 0.4, 1))
    merge = MergeOptions(ThresholdSchedule(0.5, 0.1, 0.2, min_detections=2))
    threshold, kept = choose(found, merge)
    assert threshold == 0.4
    assert kept.tolist() == [0, 2]


def test_slices_of_the_segmenter_change_nothing():
    found = [detections((i, 0, i + 3, 10, 0.9, 0)) for i in range(5)]
    whole = label(found, [photo()] * 5)
    sliced = label(found, [photo()] * 5, batch_size=2)
    for one, other in zip(whole, sliced, strict=True):
        assert (one.instance == other.instance).all() and one.record == other.record


def test_an_unusable_photograph_is_known_by_its_place_in_the_whole_call():
    def fail(images, boxes):
        if boxes[0][0, 0] == 2:
            raise UnusableOutput('masks', 1)
        return Boxes()(images, boxes)

    found = [detections((i, 0, i + 3, 10, 0.9, 0)) for i in range(4)]
    with pytest.raises(UnusableOutput) as caught:
        label(found, [photo()] * 4, fail, batch_size=2)
    assert caught.value.index == 3
