import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.visualization.reconstruction import MASKED
from mmc2fmae.web.app import describe_study
from mmc2fmae.web.settings import read_settings
from mmc2fmae.web.study import enlarge, find_examples, open_study
from tests.web.conftest import controls, save_run


def settings(**changes):
    return read_settings(controls(**changes))


@pytest.fixture
def scene(study):
    sample = find_examples(study)[0]
    return study.read(sample.name, sample.files)


def grey_patches(picture):
    """Return which of 4 x 4 patches are the colour of masked ones."""
    side = len(picture) // 4
    tiles = picture.reshape(4, side, 4, side, 3).transpose(0, 2, 1, 3, 4).reshape(16, -1, 3)
    return (tiles == MASKED).all(axis=(1, 2))


def test_examples_are_read_as_in_training_without_augmentation(study, scene):
    assert len(find_examples(study)) == 12
    assert scene.present == ['rgb', 'instance', 'semantic']
    assert scene.inputs['rgb'].shape == (1, 3, 32, 32)
    assert scene.inputs['semantic'].shape == (1, 16, 16)


def test_pictures_show_exactly_the_chosen_tokens(study, scene):
    chosen = dict(rgb=5, instance=0, semantic=16)
    view = study.view(scene, settings(visible=chosen))
    assert view.visible == chosen
    for name, count in chosen.items():
        pictures = view.pictures[name]
        masked = grey_patches(pictures['visible'])
        assert (~masked).sum() == count
        # Visible patches stay what they are in input, prediction and original alike.
        where = np.kron(~masked.reshape(4, 4), np.ones((56, 56)))[..., None].astype(bool)
        for kind in ('visible', 'predicted'):
            assert (np.where(where, pictures[kind] == pictures['original'], True)).all()
        assert pictures['original'].shape == (224, 224, 3)


def test_predictions_and_losses_are_the_models(study, scene):
    view = study.view(scene, settings(visible=dict(rgb=16, instance=0, semantic=0)))
    masks = {name: torch.ones(1, 16, dtype=torch.bool) for name in study.granularities}
    masks['rgb'][:] = False
    data = study.model.data_preprocessor(dict(inputs=scene.inputs, masks=masks))
    with torch.no_grad():
        expected = study.model.loss(**data)
        ids = study.model.reconstruct(dict(inputs=scene.inputs, masks=masks))['semantic'][0]
    for name in ('instance', 'semantic'):
        assert view.losses[name][name] == pytest.approx(float(expected[f'loss_{name}']))
    assert view.losses['rgb'] == dict(rgb=None)  # nothing of it is masked
    colours = study.palettes['semantic'][ids.numpy()].repeat(14, 0).repeat(14, 1)
    assert (view.pictures['semantic']['predicted'] == colours).all()


def test_raw_pixels_differ_from_unnormalised_ones_where_masked_alone(study, scene):
    views = [study.view(scene, settings(target_stats=stats)) for stats in (True, False)]
    first, second = (view.pictures['rgb'] for view in views)
    assert (first['visible'] == second['visible']).all()
    differs = (first['predicted'] != second['predicted']).any(axis=2)
    masked = np.kron(grey_patches(first['visible']).reshape(4, 4), np.ones((56, 56))).astype(bool)
    assert differs[masked].mean() > 0.5 and not differs[~masked].any()


def test_the_seed_alone_decides_what_is_drawn(study, scene):
    first, again, other = (study.view(scene, settings(seed=seed)) for seed in (3, 3, 4))
    assert (first.pictures['rgb']['visible'] == again.pictures['rgb']['visible']).all()
    assert (first.pictures['rgb']['visible'] != other.pictures['rgb']['visible']).any()


@pytest.mark.parametrize(
    ('strategy', 't', 'alphas'),
    [
        ('SG', 0.9, (1, 0)),
        ('IG', 0.1, (0, 1)),
        ('RD', 0.1, (0, 0)),
        ('curriculum', 0.2, (0.6, 0.4)),
    ],
)
def test_the_strategy_decides_the_mixture(study, scene, strategy, t, alphas):
    assert study.view(scene, settings(strategy=strategy, t=t)).alphas == pytest.approx(alphas)


@pytest.mark.parametrize(
    ('strategy', 't', 'shares'),
    [
        ('SG', 0.9, [1, 0, 0]),
        ('RD', 0.1, [0, 0, 1]),
        ('curriculum', 0.2, [1, 0, 0]),  # 0.6 and 0.4: top-k is the semantic-guided mask
        ('curriculum', 0.3, [0, 1, 0]),
    ],
)
def test_a_view_says_which_strategy_explains_its_masks(study, scene, strategy, t, shares):
    assert study.view(scene, settings(strategy=strategy, t=t)).shares == shares


def test_a_view_says_whether_any_token_of_an_object_is_visible(study, scene):
    none = dict(rgb=0, instance=0, semantic=0)
    assert study.view(scene, settings(visible=none | dict(rgb=16))).objects_hidden is False
    scene.inputs['instance'][:] = 0
    assert study.view(scene, settings(visible=none | dict(rgb=16))).objects_hidden is None
    scene.inputs['instance'][:, :4, :4] = 1  # one patch of sixteen
    guided = settings(visible=none | dict(rgb=4), strategy='IG')
    assert study.view(scene, guided).objects_hidden is True


def test_a_photograph_alone_has_its_maps_predicted(study):
    sample = find_examples(study)[0]
    scene = study.read('alone', dict(rgb=sample.files['rgb']))
    view = study.view(scene, settings())
    assert view.visible == dict(rgb=8, instance=0, semantic=0)
    for name in ('instance', 'semantic'):
        assert view.pictures[name]['original'] is None
        assert grey_patches(view.pictures[name]['visible']).all()
        assert not grey_patches(view.pictures[name]['predicted']).all()
        assert view.losses[name] == {name: None}
    assert view.losses['rgb']['rgb'] > 0 and view.objects_hidden is None
    with pytest.raises(ValueError, match='semantic-guided masking needs a map'):
        study.view(scene, settings(strategy='SG'))


def test_attention_is_that_of_the_query_on_the_unmasked_photograph(study, scene):
    caught = []
    attention = study.model.backbone.layers[-1].attn
    hook = attention.qkv.register_forward_hook(lambda _, __, output: caught.append(output))
    image = study.model.data_preprocessor(dict(inputs=scene.inputs))['inputs']['rgb']
    with torch.no_grad():
        study.model.backbone(image)
    hook.remove()
    q, k, _ = caught[0].reshape(17, 3, 2, 12).permute(1, 2, 0, 3)  # 2 heads of 12
    weights = (q @ k.transpose(1, 2) / 12**0.5).softmax(-1)
    for query, token in ((None, 0), ((1, 2), 1 + 1 * 4 + 2)):
        rows = weights[:, token, 1:]
        relative = (rows / rows.mean(1, keepdim=True)).mean(0)
        view = study.view(scene, settings(query=query))
        assert view.peak == pytest.approx(float(relative.max()), rel=1e-4)
    with pytest.raises(ValueError, match='outside of the 4 x 4 patches'):
        study.view(scene, settings(query=(4, 0)))


def test_attention_of_each_proxy_and_of_their_mean(cfg, scene, tmp_path):
    cfg.model.backbone.num_cls_tokens = 3
    cfg.model.neck.proxies = True
    study = open_study(save_run(tmp_path / 'epoch_1.pth', cfg))
    weights = study._attention(scene)  # (2, 3 + 16, 3 + 16)
    scene.attention = None  # that of another model
    for query, rows in ((None, slice(0, 3)), (0, [0]), (2, [2]), ((0, 0), [3])):
        looks = weights[:, rows].mean(1)[:, 3:]
        relative = (looks / looks.mean(1, keepdim=True)).mean(0)
        view = study.view(scene, settings(query=query))
        assert view.peak == pytest.approx(float(relative.max()), rel=1e-4)
    for query in (3, -1):
        with pytest.raises(ValueError, match=f'proxy:{query}: the ViT has class tokens 0 to 2'):
            study.view(scene, settings(query=query))
    assert describe_study(study, [])['class_tokens'] == 3


def test_legends_name_what_is_shown(study, scene):
    view = study.view(scene, settings(visible=dict(rgb=1, instance=16, semantic=16)))
    ids = sorted(scene.inputs['instance'].unique().tolist())
    names = [name for name, _ in view.legends['instance']]
    assert set(names) >= {'background' if i == 0 else f'object {i}' for i in ids}
    assert 'rgb' not in view.legends


def test_semantic_maps_that_are_made_from_instances_are_not_asked_for(cfg, tmp_path):
    cfg.model.backbone.granularities.semantic.num_classes = 2
    dataset = cfg.train_dataloader.dataset
    dataset.data_prefix = dict(rgb='train', instance='instance/train')
    dataset.pipeline[0] = dict(type='LoadMultiGranular')
    dataset.pipeline.insert(1, dict(type='SemanticFromInstance'))
    study = open_study(save_run(tmp_path / 'own.pth', cfg))
    assert study.uploads == ['instance']
    sample = find_examples(study)[0]
    assert study.read('both', sample.files).present == ['rgb', 'instance', 'semantic']
    assert study.read('alone', dict(rgb=sample.files['rgb'])).present == ['rgb']


def test_photographs_of_ones_own_are_examples(study, config_path):
    folder = config_path.with_name('data') / 'train' / 'n0'
    samples = find_examples(study, [folder])
    assert [sample.name for sample in samples] == ['img_00', 'img_03', 'img_06', 'img_09']


def test_another_data_root_is_taken(checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match='elsewhere'):
        find_examples(open_study(checkpoint, data_root=tmp_path / 'elsewhere'))


def test_a_config_without_masks_is_refused(cfg, tmp_path):
    steps = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [s for s in steps if s.type != 'ProgressiveMasking']
    with pytest.raises(CheckpointMismatch, match='no ProgressiveMasking'):
        open_study(save_run(tmp_path / 'other.pth', Config(cfg.to_dict())))


def test_small_pictures_are_enlarged_by_whole_pixels():
    picture = np.arange(100 * 100 * 3, dtype=np.uint8).reshape(100, 100, 3)
    large = enlarge(picture)
    assert large.shape == (300, 300, 3) and (large[1::3, 2::3] == picture).all()
    assert enlarge(large) is not None and enlarge(large).shape == (300, 300, 3)
