"""Model folders: what is missing, damaged or of another kind is said before anything runs."""

import hashlib
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mmc2fmae import labeling
from mmc2fmae.labeling import detection, segmentation, semantics
from mmc2fmae.labeling import models as models_module
from mmc2fmae.labeling.detection import GroundingDinoDetector
from mmc2fmae.labeling.models import (
    ModelError,
    batches,
    describe_model,
    model_folder,
    seem_files,
)
from mmc2fmae.labeling.segmentation import SamHqSegmenter
from mmc2fmae.labeling.semantics import Mask2FormerLabeller
from tests.labeling.tiny_models import make_tiny_models

COMMIT = '0123456789abcdef0123456789abcdef01234567'


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> dict[str, str]:
    return make_tiny_models(tmp_path_factory.mktemp('models'))


@pytest.fixture
def detector_copy(models, tmp_path) -> Path:
    return Path(shutil.copytree(models['detector'], tmp_path / 'copy'))


# --- imports ---


@pytest.mark.parametrize('module', [labeling, detection, models_module, segmentation, semantics])
def test_no_module_imports_transformers_before_a_model_is_asked_for(monkeypatch, module):
    monkeypatch.setitem(sys.modules, 'transformers', None)  # any import of it fails
    runpy.run_path(module.__file__)


def test_mmpretrain_and_mmdet_live_beside_transformers():
    import mmdet.models
    import mmpretrain.models
    import transformers

    assert transformers.GroundingDinoForObjectDetection
    assert mmdet.models.MaskRCNN and mmpretrain.models.VisionTransformer
    assert 'mmpretrain.models.multimodal.blip' not in sys.modules  # it would not import


def test_without_transformers_the_extra_is_named(monkeypatch, models):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ModelError, match=r"pip install -e '\.\[labeling\]'"):
        SamHqSegmenter(models['segmenter'])


# --- folders ---


@pytest.mark.parametrize(
    ('gone', 'named'),
    [
        ('config.json', 'config.json'),
        ('model.safetensors', 'model.safetensors or pytorch_model.bin'),
        ('processor_config.json', 'processor_config.json or preprocessor_config.json'),
        ('tokenizer.json', 'tokenizer.json'),
    ],
)
def test_a_folder_without_a_needed_file_names_it(detector_copy, gone, named):
    (detector_copy / gone).unlink()
    with pytest.raises(ModelError) as caught:
        GroundingDinoDetector(str(detector_copy))
    assert str(caught.value).startswith(f'{detector_copy} lacks {named}: copy')


def test_a_missing_part_of_weights_in_several_files_is_named(detector_copy):
    weights = load_file(detector_copy / 'model.safetensors')
    (detector_copy / 'model.safetensors').unlink()
    parts = ('model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors')
    where = {name: parts[i % 2] for i, name in enumerate(weights)}
    for part in parts:
        own = {name: weights[name] for name in where if where[name] == part}
        save_file(own, detector_copy / part, {'format': 'pt'})
    index = dict(metadata={}, weight_map=where)
    (detector_copy / 'model.safetensors.index.json').write_text(json.dumps(index))
    GroundingDinoDetector(str(detector_copy))
    (detector_copy / parts[1]).unlink()
    with pytest.raises(ModelError, match=f'lacks {parts[1]}:'):
        GroundingDinoDetector(str(detector_copy))


def test_a_model_of_another_type_is_refused(models):
    with pytest.raises(ModelError, match="of type 'sam_hq', expected 'mask2former'"):
        Mask2FormerLabeller(models['segmenter'])


def test_damaged_files_are_named(detector_copy):
    weights = detector_copy / 'model.safetensors'
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf'{detector_copy} cannot be loaded'):
        GroundingDinoDetector(str(detector_copy))
    (detector_copy / 'config.json').write_text('{"model_type": ')
    with pytest.raises(ModelError, match=r'config\.json is damaged'):
        GroundingDinoDetector(str(detector_copy))


def test_weights_that_do_not_fill_the_model_are_refused_instead_of_drawn(detector_copy):
    weights = load_file(detector_copy / 'model.safetensors')
    del weights['model.text_projection.weight']
    save_file(weights, detector_copy / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(ModelError, match=r'lacks 1 weights .*model\.text_projection\.weight'):
        GroundingDinoDetector(str(detector_copy))


def test_pickled_weights_load_without_running_code(detector_copy, models, tmp_path):
    weights = load_file(detector_copy / 'model.safetensors')
    (detector_copy / 'model.safetensors').unlink()
    torch.save(weights, detector_copy / 'pytorch_model.bin')
    loaded = GroundingDinoDetector(str(detector_copy)).model.state_dict()
    for name, value in GroundingDinoDetector(models['detector']).model.state_dict().items():
        assert torch.equal(loaded[name], value)

    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'was here',)

    torch.save(dict(a=Code()), detector_copy / 'pytorch_model.bin')
    with pytest.raises(ModelError, match='cannot be loaded'):
        GroundingDinoDetector(str(detector_copy))
    assert not (tmp_path / 'was here').exists()


def test_weights_are_float32_in_eval_mode_whatever_the_file_holds(detector_copy):
    weights = load_file(detector_copy / 'model.safetensors')
    halves = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    save_file(halves, detector_copy / 'model.safetensors', {'format': 'pt'})
    config = json.loads((detector_copy / 'config.json').read_text()) | dict(dtype='float16')
    (detector_copy / 'config.json').write_text(json.dumps(config))
    model = GroundingDinoDetector(str(detector_copy)).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(module.training for module in model.modules())


# --- hub ---


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache of the hub's client, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def test_a_hub_id_without_network_asks_for_a_folder(cache):
    with pytest.raises(
        ModelError, match=r'org/model is no folder.*give its folder.*HF_HUB_OFFLINE'
    ):
        model_folder('org/model')


@pytest.mark.parametrize('weights', ['model.safetensors', 'pytorch_model.bin'])
def test_a_cached_hub_model_is_known_by_its_commit(cache, weights):
    folder = cache / 'models--org--model' / 'snapshots' / COMMIT
    folder.mkdir(parents=True)
    (folder / weights).write_bytes(b'')
    refs = cache / 'models--org--model' / 'refs'
    refs.mkdir()
    (refs / 'main').write_text(COMMIT)
    assert model_folder('org/model') == folder
    assert describe_model('org/model') == dict(name='org/model', revision=COMMIT)


@pytest.mark.parametrize('model', ['/no/such/folder', 'folder', './a/b', 'a/b/c'])
def test_what_is_neither_folder_nor_hub_id_never_reaches_the_network(model):
    with pytest.raises(ModelError, match='is no folder, and no hub id'):
        model_folder(model)


def test_a_folder_is_known_by_the_sum_of_its_weights(models):
    described = describe_model(models['segmenter'])
    weights = Path(models['segmenter'], 'model.safetensors').read_bytes()
    expected = hashlib.sha256(weights).hexdigest()
    assert described == dict(name='segmenter', sha256=expected)  # no path: records get published


# --- SEEM ---


@pytest.mark.parametrize('spec', ['seem:checkout', 'seem::weights.pt', 'seem:a:b:c:d'])
def test_a_seem_specification_of_another_form_is_refused(spec):
    with pytest.raises(ModelError, match='seem:CHECKOUT:WEIGHTS'):
        seem_files(spec)


def test_missing_files_of_seem_are_named(tmp_path):
    (tmp_path / 'weights.pt').write_bytes(b'some')
    with pytest.raises(ModelError) as caught:
        seem_files(f'seem:{tmp_path}:{tmp_path}/weights.pt:configs/my.yaml')
    assert f'missing: {tmp_path}/modeling/BaseModel.py, {tmp_path}/configs/my.yaml.' in str(
        caught.value
    )


def test_seem_is_known_by_the_sum_of_its_weights(tmp_path):
    for name in ('modeling/BaseModel.py', 'configs/seem/focall_unicl_lang_v1.yaml'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / 'weights.pt').write_bytes(b'some')
    spec = f'seem:{tmp_path}:{tmp_path}/weights.pt'
    expected = dict(name='seem:weights.pt', sha256=hashlib.sha256(b'some').hexdigest())
    assert describe_model(spec) == expected


# --- batches ---


def test_batches_hold_equal_keys_in_order_and_are_never_too_large():
    found = list(batches(['a', 'b', 'a', 'a', 'b'], 2))
    assert found == [[0, 2], [3], [1, 4]]
    assert list(batches([], 2)) == []


# --- the released preprocessing ---

IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
SWITCHES = dict(do_resize=True, do_rescale=True, do_normalize=True, resample=2)
# huggingface.co, preprocessor_config.json of:
RELEASED = {
    # IDEA-Research/grounding-dino-base at c0605c3; that of grounding-dino-tiny is equal.
    'detector': dict(
        **IMAGENET,
        **SWITCHES,
        do_pad=True,
        format='coco_detection',
        image_processor_type='GroundingDinoImageProcessor',
        processor_class='GroundingDinoProcessor',
        rescale_factor=0.00392156862745098,
        size=dict(longest_edge=1333, shortest_edge=800),
    ),
    # ductai199x/sam_hq_vit_huge at acadfd0 (weights of HQ-SAM's authors converted) and
    # facebook/sam-vit-huge at 6bf626a. That of syscv-community/sam-hq-vit-* was not seen.
    'segmenter': dict(
        **IMAGENET,
        **SWITCHES,
        do_convert_rgb=True,
        do_pad=True,
        image_processor_type='SamImageProcessor',
        pad_size=dict(height=1024, width=1024),
        processor_class='SamProcessor',
        rescale_factor=0.00392156862745098,
        size=dict(longest_edge=1024),
    ),
    # facebook/mask2former-swin-base-coco-panoptic at 404f861. That of -swin-large- has the same
    # 538 bytes, but was not seen.
    'semantic': dict(
        **SWITCHES,
        _max_size=1333,
        ignore_index=255,
        image_mean=[0.48500001430511475, 0.4560000002384186, 0.4059999883174896],
        image_processor_type='Mask2FormerImageProcessor',
        image_std=[0.2290000021457672, 0.2239999920129776, 0.22499999403953552],
        num_labels=133,
        reduce_labels=False,
        rescale_factor=0.00392156862745098,
        size=dict(height=384, width=384),
        size_divisor=32,
    ),
}
MODELS = dict(
    detector=GroundingDinoDetector, segmenter=SamHqSegmenter, semantic=Mask2FormerLabeller
)


@pytest.mark.parametrize(
    ('name', 'size', 'resized', 'padded'),
    [
        ('detector', (375, 500), (800, 1066), (800, 1066)),  # 500 * 800 / 375 = 1066.7
        ('detector', (300, 1000), (400, 1333), (400, 1333)),  # 300 * 1333 / 1000 = 399.9
        ('segmenter', (375, 500), (768, 1024), (1024, 1024)),
        ('segmenter', (1000, 3), (1024, 3), (1024, 1024)),  # not taken for three channels
        ('semantic', (375, 500), (384, 384), (384, 384)),
    ],
)
def test_pixels_are_resized_and_normalised_as_the_released_processors_say(
    models, tmp_path, name, size, resized, padded
):
    folder = Path(shutil.copytree(models[name], tmp_path / name))
    (folder / 'processor_config.json').unlink(missing_ok=True)
    (folder / 'preprocessor_config.json').write_text(json.dumps(RELEASED[name]))
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image[: size[0] // 2] //= 4  # so that a flip would show
    pixels = MODELS[name](str(folder)).preprocess([image])['pixel_values']
    assert pixels.shape == (1, 3, *padded)
    # Pillow's own resizing and the definition of normalisation.
    small = Image.fromarray(image).resize(resized[::-1], Image.Resampling.BILINEAR)
    mean, std = (np.array(IMAGENET[f'image_{what}']) for what in ('mean', 'std'))
    expected = (np.asarray(small) / 255 - mean) / std
    found = pixels[0].permute(1, 2, 0).numpy()
    height, width = resized
    grey_level = 1.01 / 255 / std.min()
    np.testing.assert_allclose(found[:height, :width], expected, rtol=0, atol=grey_level)
    assert not found[height:].any() and not found[:, width:].any()
