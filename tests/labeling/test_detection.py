"""Grounding DINO: boxes and scores are the model's own, class by class, image by image."""

import math

import numpy as np
import pytest
import torch

from mmc2fmae.labeling.detection import GroundingDinoDetector, decode, score_classes, widen
from mmc2fmae.labeling.models import UnusableOutput
from mmc2fmae.labeling.prompts import chunk_prompts
from tests.labeling.tiny_models import make_tiny_models


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> str:
    return make_tiny_models(tmp_path_factory.mktemp('models'))['detector']


@pytest.fixture(scope='module')
def detector(folder) -> GroundingDinoDetector:
    return GroundingDinoDetector(folder)


def photographs(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_a_class_scores_as_its_best_token_and_delimiters_count_for_none():
    # [CLS] tench . tinca tinca . goldfish . [SEP]: the dots and [SEP] have the best scores.
    row = [0.9, 0.2, 0.99, 0.3, 0.4, 0.99, 0.1, 0.99, 0.99]
    logits = torch.tensor([[logit(p) for p in row] + [-math.inf] * 3])
    scores = score_classes(logits, [(1, 3, 4), (6,)])
    assert scores.tolist() == [pytest.approx([0.4, 0.1])]


def test_boxes_go_from_centre_and_size_in_shares_to_corners_in_pixels():
    logits = torch.tensor([[0.0, logit(0.7), logit(0.8)]])
    boxes = torch.tensor([[0.5, 0.25, 0.2, 0.5]])
    corners, scores, classes = decode(logits, boxes, [(1,), (2,)], size=(100, 40))
    assert corners.tolist() == [pytest.approx([40, 0, 60, 20])]
    assert scores.tolist() == pytest.approx([0.8])
    assert classes.tolist() == [1]


def test_the_tokenizer_of_the_folder_places_each_class(detector):
    (chunk,) = chunk_prompts(('tench, Tinca tinca', 'goldfish'), detector._offsets)
    assert chunk.tokens == ((1, 3, 4), (6,))
    ids = detector.tokenizer(chunk.text)['input_ids']
    # Grounding DINO finds its delimiters by BERT's numbers.
    assert [ids[i] for i in (0, 2, 5, 7, 8)] == [101, 1012, 1012, 1012, 102]


def test_one_name_gives_the_boxes_and_token_scores_of_the_library(detector, folder):
    from transformers import GroundingDinoProcessor

    (image,) = photographs((60, 80))
    processor = GroundingDinoProcessor.from_pretrained(folder)
    inputs = processor(images=image, text='dog.', return_tensors='pt')
    with torch.inference_mode():
        output = detector.model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        output, threshold=0, text_threshold=0, target_sizes=[(60, 80)]
    )
    scores = output.logits[0, :, 1].sigmoid()  # [CLS] dog . [SEP]
    order = scores.argsort(descending=True)
    expected = theirs['boxes'][order].numpy().clip(0, [80, 60, 80, 60])
    (found,) = detector([image], [('dog',)], floor=0)
    np.testing.assert_allclose(found.scores, scores[order], atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected, atol=1e-4)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.classes.dtype == np.int64 and not found.classes.any()
    assert found.chunks == 1


def test_the_neighbours_in_a_call_change_nothing_but_rounding(folder):
    images = photographs((60, 80), (100, 50), (60, 80), (60, 80), (33, 47))
    names = [('dog', 'car'), ('tench, Tinca tinca',), ('a rather long name',), ('dog',), ('car',)]
    together = GroundingDinoDetector(folder, batch_size=3)(images, names, floor=0.3)
    again = GroundingDinoDetector(folder, batch_size=3)(images, names, floor=0.3)
    alone = GroundingDinoDetector(folder, batch_size=1)
    for i, found in enumerate(together):
        assert all(np.array_equal(a, b) for a, b in zip(found, again[i], strict=True))
        (single,) = alone(images[i : i + 1], names[i : i + 1], floor=0.3)
        np.testing.assert_allclose(found.scores, single.scores, atol=1e-5)
        np.testing.assert_allclose(found.boxes, single.boxes, atol=1e-3)
        assert found.classes.tolist() == single.classes.tolist()


def test_detections_are_above_the_floor_sorted_inside_the_image_and_have_an_area(detector):
    images = photographs((60, 80), (40, 90))
    everything = detector(images, [('dog', 'car')] * 2, floor=0)
    some = detector(images, [('dog', 'car')] * 2, floor=0.7)
    for image, whole, found in zip(images, everything, some, strict=True):
        assert 0 < len(found.scores) < len(whole.scores)
        assert found.scores.tolist() == [s for s in whole.scores.tolist() if s >= np.float32(0.7)]
        assert (np.diff(whole.scores) <= 0).all()
        x1, y1, x2, y2 = whole.boxes.T
        assert (x1 >= 0).all() and (y1 >= 0).all() and (x1 < x2).all() and (y1 < y2).all()
        assert (x2 <= image.shape[1]).all() and (y2 <= image.shape[0]).all()


def test_names_beyond_a_prompt_are_asked_in_several_and_keep_their_indices(detector):
    (image,) = photographs((60, 80))
    names = [f'class{i}' for i in range(80)]  # spelled letter by letter: 8 tokens each and a dot
    (found,) = detector([image], [names], floor=0)
    prompts = chunk_prompts(names, detector._offsets, 256)
    assert found.chunks == len(prompts) >= 3
    assert len(found.scores) == 20 * len(prompts)  # the tiny model has 20 queries
    assert {0, 79} <= {c for chunk in prompts for c in chunk.classes}
    for chunk in prompts:  # each prompt alone, its classes renumbered
        own = [names[c] for c in chunk.classes]
        (part,) = detector([image], [own], floor=0)
        in_chunk = np.isin(found.classes, chunk.classes)
        np.testing.assert_allclose(found.scores[in_chunk], part.scores, atol=1e-5)
        assert found.classes[in_chunk].tolist() == [chunk.classes[c] for c in part.classes]


def test_nothing_asked_is_nothing_run(detector, monkeypatch):
    monkeypatch.setattr(detector, '_forward', pytest.fail)
    (found,) = detector(photographs((60, 80)), [()], floor=0)
    assert found.boxes.shape == (0, 4) and found.chunks == 0
    assert detector([], [], floor=0) == []


def test_a_name_that_fills_more_than_a_prompt_is_an_error(detector):
    with pytest.raises(ValueError, match='alone has 303 tokens'):
        detector(photographs((60, 80)), [('x ' * 300,)], floor=0)


@pytest.mark.parametrize('size', [(3, 200), (200, 3), (1, 1), (2, 1333)])
def test_strips_are_widened_for_the_model_and_boxes_stay_in_the_image(detector, size):
    (image,) = photographs(size)
    wide = widen(image)
    assert max(wide.shape[:2]) <= 16 * min(wide.shape[:2])
    assert np.array_equal(wide[: size[0], : size[1]], image)
    (found,) = detector([image], [('dog',)], floor=0)
    assert (found.boxes[:, 2] <= size[1]).all() and (found.boxes[:, 3] <= size[0]).all()
    assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()  # none in what was added


def test_ordinary_photographs_are_not_widened():
    (image,) = photographs((100, 1600))
    assert widen(image).shape == image.shape


@pytest.mark.parametrize('which', [0, 1])
def test_numbers_that_overflowed_name_the_photograph(detector, monkeypatch, which):
    forward = detector._forward

    def broken(images, texts):
        outputs = forward(images, texts)
        outputs[which][1] = math.nan
        return outputs

    monkeypatch.setattr(detector, '_forward', broken)
    with pytest.raises(UnusableOutput, match=r'photograph 2 .*bfloat16') as caught:
        detector(photographs((60, 80), (50, 50), (60, 80)), [('dog',), (), ('car',)], floor=0)
    assert caught.value.index == 2


def test_mixed_precision_gives_float32_boxes_near_those_of_full_precision(folder, detector):
    images, names = photographs((60, 80)), [('dog', 'car')]
    (full,) = detector(images, names, floor=0)
    (mixed,) = GroundingDinoDetector(folder, amp=torch.bfloat16)(images, names, floor=0)
    assert mixed.boxes.dtype == mixed.scores.dtype == np.float32
    assert not np.array_equal(mixed.scores, full.scores)  # it was on
    np.testing.assert_allclose(mixed.scores.mean(), full.scores.mean(), atol=0.1)


def test_images_are_batched_by_their_size_at_the_input_and_none_is_padded(detector, monkeypatch):
    seen, padded = [], []
    forward, preprocess = detector._forward, detector.preprocess

    def spy(images):
        pixels = preprocess(images)
        padded.append(not bool(pixels['pixel_mask'].all()))
        return pixels

    monkeypatch.setattr(detector, 'preprocess', spy)
    monkeypatch.setattr(
        detector, '_forward', lambda i, t: seen.append([x.shape[:2] for x in i]) or forward(i, t)
    )
    images = photographs((60, 80), (80, 60), (120, 160), (60, 80), (50, 300))
    together = detector(images, [('dog',)] * 5, floor=0)
    # The short side becomes 96, unless the long one would be more than 160: 96 x 128 thrice.
    assert seen == [[(60, 80), (120, 160), (60, 80)], [(80, 60)], [(50, 300)]]
    assert padded == [False] * 3
    (alone,) = detector(images[2:3], [('dog',)], floor=0)
    np.testing.assert_allclose(together[2].boxes, alone.boxes, atol=1e-3)
    np.testing.assert_allclose(together[2].scores, alone.scores, atol=1e-5)
