"""Semantic maps: evidence, confidence and names, for Mask2Former and a stand-in for SEEM."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.labeling import semantics
from mmc2fmae.labeling.models import ModelError, UnusableOutput
from mmc2fmae.labeling.semantics import (
    Mask2FormerLabeller,
    class_evidence,
    decide,
    decided_size,
    semantic_labeller,
)
from mmc2fmae.preparation.layout import coco_panoptic_classes
from tests.labeling.tiny_models import make_tiny_models


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> str:
    return make_tiny_models(tmp_path_factory.mktemp('models'))['semantic']


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / 'copy'))


def photographs(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# --- the decision ---


def test_evidence_sums_class_times_mask_over_the_queries():
    logs = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log()  # the last: no object
    masks = torch.tensor([0.9, 0.4]).logit()[:, None, None]
    evidence = class_evidence(logs, masks, input_size=(1, 1), size=(1, 1))
    expected = [0.5 * 0.9 + 0.1 * 0.4, 0.3 * 0.9 + 0.1 * 0.4]
    assert evidence.flatten().tolist() == pytest.approx(expected)


def test_confidence_is_the_share_of_the_class_and_of_no_class_where_evidence_is_weak():
    # Three pixels: 0.9 of 0.9 (0.1 for no class), 1.2 of 2.0, 0.1 of 0.15.
    evidence = torch.tensor([[[0.9, 0.8, 0.05]], [[0.0, 1.2, 0.1]]])
    labels, score = decide(evidence, min_confidence=0.0)
    assert labels.tolist() == [[0, 1, 1]] and labels.dtype == torch.uint8
    assert score == pytest.approx((0.9 + 0.6 + 0.1) / 3)
    labels, score = decide(evidence, min_confidence=0.5)
    assert labels.tolist() == [[0, 1, 255]]
    assert score == pytest.approx((0.9 + 0.6) / 2)
    labels, score = decide(evidence, min_confidence=0.95)
    assert labels.tolist() == [[255, 255, 255]] and score == 0


@pytest.mark.parametrize(
    ('size', 'decided'),
    [((480, 640), (480, 640)), ((3000, 4000), (480, 640)), ((1, 5000), (1, 640))],
)
def test_classes_are_decided_at_most_at_640_pixels(size, decided):
    assert decided_size(*size) == decided


# --- Mask2Former ---


def test_maps_are_those_of_the_library(copy):
    # 384: the library's own post-processing knows no other input size.
    change(copy / 'preprocessor_config.json', size=dict(height=384, width=384))
    labeller = Mask2FormerLabeller(str(copy))
    (image,) = photographs((100, 70))
    with torch.inference_mode():
        output = labeller.model(**labeller.processor(images=image, return_tensors='pt'))
    (theirs,) = labeller.processor.post_process_semantic_segmentation(output, [(100, 70)])
    (found,) = labeller([image])
    assert found.labels.dtype == np.uint8
    assert len(np.unique(found.labels)) > 1
    assert np.array_equal(found.labels, theirs.numpy())
    assert 0 < found.score < 1


def test_the_neighbours_in_a_call_change_nothing_but_rounding(folder):
    images = photographs((60, 80), (100, 50), (60, 80), (1, 1), (3, 200))
    together = Mask2FormerLabeller(folder, batch_size=4)(images)
    again = Mask2FormerLabeller(folder, batch_size=4)(images)
    alone = Mask2FormerLabeller(folder, batch_size=1)
    for image, found, repeated in zip(images, together, again, strict=True):
        assert found.labels.shape == image.shape[:2]
        assert np.array_equal(found.labels, repeated.labels) and found.score == repeated.score
        (single,) = alone([image])
        assert (found.labels != single.labels).mean() < 1e-3
        assert found.score == pytest.approx(single.score, abs=1e-5)


def test_a_processor_that_keeps_the_shape_never_pads_an_image_for_its_neighbours(copy):
    change(copy / 'preprocessor_config.json', size=dict(shortest_edge=64, longest_edge=128))
    labeller = Mask2FormerLabeller(str(copy))
    images = photographs((60, 80), (100, 50), (60, 80))
    for image, found in zip(images, labeller(images), strict=True):
        (single,) = labeller([image])
        assert (found.labels != single.labels).mean() < 1e-3


def test_a_large_image_is_decided_small_and_enlarged_without_new_ids(folder, monkeypatch):
    monkeypatch.setattr(semantics, 'LONG_SIDE', 20)
    (image,) = photographs((60, 100))
    (found,) = Mask2FormerLabeller(folder)([image])
    blocks = found.labels.reshape(12, 5, 20, 5)  # 12 x 20 decisions, each 5 x 5 pixels
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert len(np.unique(found.labels)) > 1


def test_unsure_pixels_become_unknown(folder):
    images = photographs((60, 80))
    (sure,) = Mask2FormerLabeller(folder)(images)
    (found,) = Mask2FormerLabeller(folder, min_confidence=sure.score)(images)
    unknown = found.labels == 255
    assert 0 < unknown.mean() < 1
    assert np.array_equal(found.labels[~unknown], sure.labels[~unknown])
    assert found.score > sure.score
    assert (sure.labels < 133).all()


def test_coco_names_in_another_spelling_are_the_same_classes(copy):
    coco = coco_panoptic_classes()
    assert Mask2FormerLabeller(str(copy)).classes == coco
    spelled = {i: name.replace('-', ' ').title() for i, name in enumerate(coco)}
    change(copy / 'config.json', id2label=spelled)
    assert Mask2FormerLabeller(str(copy)).classes == coco


def test_another_order_is_not_taken_for_coco(copy):
    names = coco_panoptic_classes()[::-1]
    change(copy / 'config.json', id2label=dict(enumerate(names)))
    assert Mask2FormerLabeller(str(copy)).classes == names


def test_more_classes_than_a_map_can_hold_are_refused(copy):
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    config = Mask2FormerConfig.from_pretrained(copy)
    config.id2label = {i: f'class {i}' for i in range(256)}
    Mask2FormerForUniversalSegmentation(config).save_pretrained(copy)
    with pytest.raises(ValueError, match='256 classes: expected 2 to 255'):
        Mask2FormerLabeller(str(copy))


def test_scores_that_overflowed_name_the_photograph(folder):
    labeller = Mask2FormerLabeller(folder)
    labeller.model.class_predictor.bias.data.fill_(float('nan'))
    with pytest.raises(UnusableOutput, match='class scores of photograph 0 '):
        labeller(photographs((60, 80)))


def test_mixed_precision_is_near_full_precision(folder):
    images = photographs((60, 80))
    (full,) = Mask2FormerLabeller(folder)(images)
    (mixed,) = Mask2FormerLabeller(folder, amp=torch.bfloat16)(images)
    assert mixed.score != full.score  # it was on
    assert mixed.score == pytest.approx(full.score, abs=0.05)


# --- SEEM: a stand-in for the repository with the modules and functions that are used ---

STAND_IN = {
    'utils/__init__.py': '',
    'utils/arguments.py': """
import yaml
def load_opt_from_config_files(files):
    return yaml.safe_load(open(files[0]))
""",
    'utils/constants.py': """
from mmc2fmae.preparation.layout import coco_panoptic_classes
COCO_PANOPTIC_CLASSES = list(coco_panoptic_classes())
""",
    'modeling/__init__.py': """
import torch
from torch import nn
from torch.nn import functional as F

class Language(nn.Module):
    def get_text_embeddings(self, names, is_eval=False):
        self.asked = names, is_eval

class Core(nn.Module):
    # Class 0 where an image is bright, class 1 where it is dark, times a weight.
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.sem_seg_head = nn.Module()
        self.sem_seg_head.predictor = nn.Module()
        self.sem_seg_head.predictor.lang_encoder = Language()
        self.semantic_on = self.panoptic_on = self.instance_on = True

    def forward(self, inputs):
        assert not self.training and self.semantic_on
        assert not self.panoptic_on and not self.instance_on
        assert len({x['image'].shape for x in inputs}) == 1
        return [self.one(**x) for x in inputs]

    def one(self, image, height, width):
        self.short_side = min(image.shape[1:])
        bright = F.interpolate(image[None].float(), (height, width))[0].mean(0) / 255
        return dict(sem_seg=self.weight * torch.stack([bright, 1 - bright]))

def build_model(options):
    assert options['MODEL']['NAME'] == 'stand-in'
    return Core()
""",
    'modeling/BaseModel.py': """
from torch import nn
class BaseModel(nn.Module):
    def __init__(self, opt, module):
        super().__init__()
        self.opt, self.model = opt, module
        assert str(opt['device']) == 'cpu'
    def forward(self, inputs):
        return self.model(inputs)
""",
    'configs/seem/focall_unicl_lang_v1.yaml': 'MODEL: {NAME: stand-in}',
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in STAND_IN.items():
        path = tmp_path / 'seem' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    torch.save(dict(weight=torch.ones(1)), tmp_path / 'weights.pt')
    before = set(sys.modules)
    yield tmp_path / 'seem'
    for name in set(sys.modules) - before:
        if name.split('.')[0] in ('modeling', 'utils'):
            del sys.modules[name]


def spec_of(checkout: Path) -> str:
    return f'seem:{checkout}:{checkout.parent}/weights.pt'


def test_seem_is_asked_for_the_133_classes_and_answers_in_the_common_form(checkout):
    path = list(sys.path)
    labeller = semantic_labeller(spec_of(checkout), 'cpu', min_confidence=0.6)
    assert sys.path == path
    assert labeller.classes == coco_panoptic_classes()
    core = labeller.model.model
    names, is_eval = core.sem_seg_head.predictor.lang_encoder.asked
    assert names == [*coco_panoptic_classes(), 'background'] and is_eval
    assert core.sem_seg_head.num_classes == 133
    image = np.zeros((60, 90, 3), np.uint8)
    image[:, :30], image[:, 30:60] = 255, 128
    dark = np.zeros((20, 30, 3), np.uint8)
    first, second, third = labeller([image, dark, image])
    assert core.short_side == 512
    assert (first.labels[:, :25] == 0).all() and (first.labels[:, 65:] == 1).all()
    assert (first.labels[:, 35:55] == 255).all()  # 0.502 against 0.498: below 0.6
    assert (second.labels == 1).all() and second.score == pytest.approx(1)
    assert np.array_equal(third.labels, first.labels)


def test_weights_that_do_not_fill_seem_are_refused(checkout):
    torch.save(dict(other=torch.ones(1)), checkout.parent / 'weights.pt')
    with pytest.raises(ModelError, match=r'weights\.pt lacks 1 weights .* weight: give the config'):
        semantic_labeller(spec_of(checkout), 'cpu')


def test_weights_of_seem_run_no_code(checkout):
    torch.save(dict(weight=torch.ones(1), code=Path('x')), checkout.parent / 'weights.pt')
    with pytest.raises(CheckpointMismatch, match='holds more than weights'):
        semantic_labeller(spec_of(checkout), 'cpu')


def test_a_package_that_seem_needs_is_named(checkout):
    path = list(sys.path)
    with open(checkout / 'modeling' / 'BaseModel.py', 'a') as file:
        file.write('import package_that_is_not_here')
    with pytest.raises(ModelError, match=r"'package_that_is_not_here'.*INSTALL\.md"):
        semantic_labeller(spec_of(checkout), 'cpu')
    assert sys.path == path


def test_modules_that_hide_those_of_seem_are_named(checkout, monkeypatch):
    monkeypatch.setitem(sys.modules, 'utils', json)
    with pytest.raises(ModelError, match='other modules named utils are imported'):
        semantic_labeller(spec_of(checkout), 'cpu')
