"""HQ-SAM: masks are the library's own, an image is encoded once, corners are never rounded."""

import numpy as np
import pytest
import torch

from mmc2fmae.labeling.models import UnusableOutput
from mmc2fmae.labeling.segmentation import SamHqSegmenter
from tests.labeling.tiny_models import make_tiny_models


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> str:
    return make_tiny_models(tmp_path_factory.mktemp('models'))['segmenter']


@pytest.fixture
def segmenter(folder) -> SamHqSegmenter:
    return SamHqSegmenter(folder, batch_size=2)


def photographs(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def boxes_in(image: np.ndarray, number: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    corners = np.sort(rng.random((number, 2, 2), dtype=np.float32), axis=1)
    return (corners * np.float32(image.shape[1::-1])).reshape(number, 4)


def count_encoded(segmenter, monkeypatch) -> list[int]:
    encoded = []
    encode = segmenter.model.get_image_embeddings
    monkeypatch.setattr(
        segmenter.model,
        'get_image_embeddings',
        lambda pixels: encoded.append(len(pixels)) or encode(pixels),
    )
    return encoded


def test_masks_are_those_of_the_library_in_one_shot(segmenter, folder):
    from transformers import SamHQProcessor

    processor = SamHQProcessor.from_pretrained(folder)
    for image in photographs((60, 80), (90, 31)):
        boxes = boxes_in(image, 5)
        inputs = processor(images=image, input_boxes=[boxes.tolist()], return_tensors='pt')
        sizes = inputs.pop('original_sizes'), inputs.pop('reshaped_input_sizes')
        inputs['input_boxes'] = inputs['input_boxes'].float()
        with torch.inference_mode():
            output = segmenter.model(**inputs, multimask_output=False, hq_token_only=True)
        (theirs,) = processor.post_process_masks(output.pred_masks, *sizes)
        (found,) = segmenter([image], [boxes])
        assert found.dtype == bool and found.shape == (5, *image.shape[:2])
        assert 0 < found.mean() < 1
        assert np.array_equal(found, theirs[:, 0].numpy())


def test_images_have_any_number_of_boxes_and_those_without_are_never_encoded(
    segmenter, monkeypatch
):
    images = photographs((60, 80), (50, 50), (40, 90), (30, 30))
    boxes = [boxes_in(image, n) for image, n in zip(images, (3, 0, 1, 2), strict=True)]
    alone = [segmenter([image], [own])[0] for image, own in zip(images, boxes, strict=True)]
    encoded = count_encoded(segmenter, monkeypatch)
    together = segmenter(images, boxes)
    assert encoded == [2, 1]
    assert together[1].shape == (0, 50, 50)
    for found, single in zip(together, alone, strict=True):
        assert found.shape == single.shape
        assert (found != single).mean() < 1e-3 if single.size else True


def test_without_any_box_nothing_runs(segmenter, monkeypatch):
    monkeypatch.setattr(segmenter, 'preprocess', pytest.fail)
    (found,) = segmenter(photographs((60, 80)), [np.zeros((0, 4), np.float32)])
    assert found.shape == (0, 60, 80)


def test_many_boxes_take_one_encoding_and_give_what_each_alone_gives(segmenter, monkeypatch):
    (image,) = photographs((60, 80))
    boxes = boxes_in(image, 70)  # three passes of the decoder
    encoded = count_encoded(segmenter, monkeypatch)
    (found,) = segmenter([image], [boxes])
    assert encoded == [1]
    assert found.shape == (70, 60, 80)
    for i in (0, 31, 32, 69):
        (single,) = segmenter([image], [boxes[i : i + 1]])
        assert (found[i] != single[0]).mean() < 1e-3


def test_the_same_call_gives_the_same_masks(folder):
    images = photographs((60, 80), (50, 70))
    boxes = [boxes_in(image, 4) for image in images]
    first, second = (SamHqSegmenter(folder)(images, boxes) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize('size', [(1, 1), (3, 200), (500, 2)])
def test_strips_and_specks_get_masks_of_their_size(segmenter, size):
    (image,) = photographs(size)
    (found,) = segmenter([image], [np.array([[0, 0, size[1], size[0]]], np.float32)])
    assert found.shape == (1, *size)


def test_mixed_precision_is_for_the_encoder_and_leaves_the_corners_alone(folder, monkeypatch):
    segmenter = SamHqSegmenter(folder, amp=torch.bfloat16)
    prompts, encoder = segmenter.model.prompt_encoder, segmenter.model.vision_encoder
    seen = []
    monkeypatch.setattr(
        prompts, '_embed_boxes', lambda b, embed=prompts._embed_boxes: seen.append(b) or embed(b)
    )
    states = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda *_, key=key: states.__setitem__(key, torch.is_autocast_enabled('cpu'))
        )
        for key, module in (('encoder', encoder), ('prompts', prompts))
    ]
    (image,) = photographs((128, 128))  # the tiny model's input size: corners are not scaled
    box = np.array([[10.3, 20.7, 101.9, 127.1]], np.float32)  # bfloat16 would give 102 and 127
    segmenter([image], [box])
    for hook in hooks:
        hook.remove()
    assert states == dict(encoder=True, prompts=False)
    assert seen[0].dtype == torch.float32 and np.array_equal(seen[0][0].numpy(), box)


def test_masks_that_overflowed_name_the_photograph(segmenter, monkeypatch):
    encode = segmenter.model.get_image_embeddings

    def broken(pixels):
        encoded, early = encode(pixels)
        encoded[1] = float('nan')
        return encoded, early

    monkeypatch.setattr(segmenter.model, 'get_image_embeddings', broken)
    images = photographs((60, 80), (20, 20), (50, 70))
    boxes = [boxes_in(image, n) for image, n in zip(images, (2, 0, 2), strict=True)]
    with pytest.raises(UnusableOutput, match='masks of photograph 2 ') as caught:
        segmenter(images, boxes)
    assert caught.value.index == 2
