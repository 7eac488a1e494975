"""One option, and every field that depends on it: expectations counted by hand."""

import json
from copy import deepcopy

import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

import mmc2fmae  # noqa: F401
from mmc2fmae import configs
from mmc2fmae.engine.option_classes import _categories
from mmc2fmae.engine.options import apply_classes, apply_options
from tests.conftest import ROOT
from tests.engine.test_launch import run

KNOWN = {}


def moved(name, **options):
    """Return what options move in a config, and the config."""
    if name not in KNOWN:
        KNOWN[name] = configs.read(ROOT / f'configs/{name}.py')
    cfg = deepcopy(KNOWN[name])
    classes = options.pop('classes', None)
    lines = apply_options(cfg, dict(epochs=None) | options) + apply_classes(cfg, classes)
    return dict(line.split(' = ', 1) for line in lines), cfg


PRE, MAE = 'pretrain/c2fmae_vitb_1600e', 'pretrain/mae_vitb_400e'
MULTI, MASKFEAT = 'pretrain/multimae_vitb_400e', 'pretrain/semanticmim/maskfeat_vitb_300e'
CLS, DET, SEG = 'cls/vitb_ft_100e', 'det/mask_rcnn_own_data', 'seg/upernet_own_data'
ADE, VOC = 'seg/upernet_vitb_160k_ade20k', 'seg/linear_vitb_voc2012'
PIPE = 'train_dataloader.dataset.pipeline'
VAL, TEST = 'val_dataloader.dataset.pipeline', 'test_dataloader.dataset.pipeline'
TABLE = [
    # 34 of 1600 epochs: warm-up 40 x 34 / 1600 = 0.85, at least an epoch
    (PRE, dict(epochs=34), {
        'param_scheduler.0.end': 1, 'param_scheduler.1.begin': 1, 'param_scheduler.1.end': 34,
        'param_scheduler.1.T_max': 33, 'train_cfg.max_epochs': 34}),
    (MAE, dict(epochs=34), {
        'param_scheduler.0.end': 3.4, 'param_scheduler.1.begin': 3.4, 'param_scheduler.1.end': 34,
        'param_scheduler.1.T_max': 30.6, 'train_cfg.max_epochs': 34}),
    (CLS, dict(epochs=200), {
        'param_scheduler.0.end': 10, 'param_scheduler.1.begin': 10, 'param_scheduler.1.end': 200,
        'param_scheduler.1.T_max': 190, 'train_cfg.max_epochs': 200}),
    # of 12 with milestones 9 and 11; the warm-up of 100 iterations grows no longer, but shrinks
    (DET, dict(epochs=34), {
        'param_scheduler.1.milestones': [26, 31], 'param_scheduler.1.end': 34,
        'train_cfg.max_epochs': 34, 'train_cfg.val_interval': 17}),
    (DET, dict(epochs=3), {
        'param_scheduler.0.end': 25, 'param_scheduler.1.milestones': [2, 3],
        'param_scheduler.1.end': 3, 'train_cfg.max_epochs': 3, 'train_cfg.val_interval': 2}),
    (ADE, dict(iters=1000), {
        'default_hooks.checkpoint.interval': 100, 'param_scheduler.0.end': 9,
        'param_scheduler.1.begin': 9, 'param_scheduler.1.end': 1000, 'train_cfg.max_iters': 1000,
        'train_cfg.val_interval': 100}),
    (VOC, dict(iters=8850), {
        'default_hooks.checkpoint.interval': 1770, 'param_scheduler.0.end': 8850,
        'param_scheduler.0.step_size': 3540, 'train_cfg.max_iters': 8850,
        'train_cfg.val_interval': 1770}),
    (PRE, dict(size=448), {  # 14 x 14 to 28 x 28 patches
        'model.backbone.img_size': 448, f'{PIPE}.1.size': 448, f'{PIPE}.4.num_visible': 392}),
    (MAE, dict(size=448), {
        'model.backbone.img_size': 448, 'model.neck.num_patches': 784, f'{PIPE}.1.size': 448}),
    (MASKFEAT, dict(size=448), {
        'model.backbone.img_size': 448, f'{PIPE}.1.size': 448, f'{PIPE}.3.num_visible': 468}),
    (CLS, dict(size=448), {
        'model.backbone.img_size': 448, f'{PIPE}.2.scale': 448, f'{VAL}.1.scale': 512,
        f'{VAL}.2.crop_size': 448, f'{TEST}.1.scale': 512, f'{TEST}.2.crop_size': 448}),
    (DET, dict(size=448), {  # 448 / 256 = 1.75
        f'{PIPE}.3.scales': [(672, 364), (672, 420), (672, 476)],
        f'{VAL}.1.scale': (672, 448), f'{TEST}.1.scale': (672, 448)}),
    (ADE, dict(size=448), {
        'model.data_preprocessor.size': (448, 448), 'model.backbone.img_size': 448,
        'model.test_cfg.crop_size': (448, 448), 'model.test_cfg.stride': (298, 298),
        f'{PIPE}.2.scale': (1792, 448), f'{PIPE}.3.crop_size': (448, 448),
        f'{VAL}.1.scale': (1792, 448), f'{TEST}.1.scale': (1792, 448)}),
    (PRE, dict(patch_size=8), {
        'model.backbone.patch_size': 8, f'{PIPE}.4.patch_size': 8, f'{PIPE}.4.num_visible': 392}),
    (PRE, dict(patch_size=8, size=448), {
        'model.backbone.img_size': 448, 'model.backbone.patch_size': 8, f'{PIPE}.1.size': 448,
        f'{PIPE}.4.patch_size': 8, f'{PIPE}.4.num_visible': 1568}),
    (MAE, dict(patch_size=8), {
        'model.backbone.patch_size': 8, 'model.neck.patch_size': 8, 'model.neck.num_patches': 784,
        'model.head.patch_size': 8}),
    (MULTI, dict(patch_size=8), {
        'model.backbone.patch_size': 8, f'{PIPE}.3.patch_size': 8, f'{PIPE}.3.num_visible': 392}),
    (MASKFEAT, dict(patch_size=8), {
        'model.backbone.patch_size': 8, 'model.target_generator.pool': 4,
        'model.target_generator.gaussian_window': 8, f'{PIPE}.3.patch_size': 8,
        f'{PIPE}.3.num_visible': 468}),
    (CLS, dict(patch_size=8), {'model.backbone.patch_size': 8}),
    (DET, dict(patch_size=8), {
        'model.backbone.patch_size': 8, 'model.neck.0.rescales': [2, 1, 0.5, 0.25]}),
    (SEG, dict(patch_size=8), {
        'model.backbone.patch_size': 8, 'model.neck.rescales': [2, 1, 0.5, 0.25]}),
    (PRE, dict(batch_size=4), {'train_dataloader.batch_size': 4}),
    (CLS, dict(batch_size=4), {
        f'{split}_dataloader.batch_size': 4 for split in ('train', 'val', 'test')}),
    (DET, dict(batch_size=4), {'train_dataloader.batch_size': 4}),  # validation stays at 1
    (PRE, dict(workers=0), {
        'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}),
    (CLS, dict(workers=3), {
        f'{split}_dataloader.num_workers': 3 for split in ('train', 'val', 'test')}),
    (PRE, dict(lr=1e-4), {'optim_wrapper.optimizer.lr': 1e-4}),
    (MASKFEAT, dict(lr=1.6e-4), {
        'optim_wrapper.optimizer.lr': 1.6e-4, 'param_scheduler.1.eta_min': 1e-7}),
    (PRE, dict(classes='sky,sea, "cat, small"'), {
        'model.backbone.granularities.semantic.num_classes': 3,
        f'{PIPE}.0.num_classes.semantic': 3}),
    (DET, dict(classes=['cat', 'dog']), {
        'model.roi_head.bbox_head.num_classes': 2, 'model.roi_head.mask_head.num_classes': 2,
        **{f'{split}_dataloader.dataset.metainfo.classes': ('cat', 'dog')
           for split in ('train', 'val', 'test')}}),
    (SEG, dict(classes='a,b,c'), {
        'model.decode_head.num_classes': 3, 'model.auxiliary_head.num_classes': 3,
        **{f'{split}_dataloader.dataset.metainfo.classes': ('a', 'b', 'c')
           for split in ('train', 'val', 'test')}}),
    (CLS, dict(classes='ant,bee'), {
        'model.data_preprocessor.num_classes': 2, 'model.head.num_classes': 2,
        'model.head.topk': (1,),
        **{f'{split}_dataloader.dataset.classes': ['ant', 'bee']
           for split in ('train', 'val', 'test')},
        **{f'{split}_dataloader.dataset.expected': None for split in ('val', 'test')},
        'val_evaluator.topk': (1,), 'test_evaluator.topk': (1,)}),
]  # fmt: skip


@pytest.mark.parametrize(('name', 'options', 'expected'), TABLE)
def test_an_option_moves_these_fields_and_no_others(name, options, expected):
    found, _ = moved(name, **options)
    assert found.keys() == expected.keys()
    for field, value in expected.items():
        if isinstance(value, float):
            assert float(found[field]) == pytest.approx(value), field
        else:
            assert found[field] == repr(value), field


@pytest.mark.parametrize('name', [PRE, MAE, MULTI, MASKFEAT, CLS, DET, SEG, ADE, VOC])
def test_an_option_that_says_what_the_config_says_moves_nothing(name):
    _, cfg = moved(name)
    length = 'epochs' if 'max_epochs' in cfg.train_cfg else 'iters'
    same = {length: cfg.train_cfg[f'max_{length}'], 'lr': cfg.optim_wrapper.optimizer.lr}
    same |= dict(patch_size=16, batch_size=cfg.train_dataloader.batch_size)
    same['size'] = 256 if name == DET else cfg.model.backbone.img_size
    allowed = {'model.neck.num_patches', 'val_dataloader.batch_size', 'test_dataloader.batch_size'}
    assert set(moved(name, **same)[0]) <= allowed | {
        'model.neck.0.rescales',
        'model.neck.rescales',
    }  # written out, with the values of the default


REFUSED = [
    (PRE, dict(iters=10), r'--iters 10: .*max_epochs = 1600\), give --epochs'),
    (SEG, dict(epochs=10), r'--epochs 10: .*max_iters = 500\), give --iters'),
    (PRE, dict(epochs=10, iters=10), 'give one of them'),
    (PRE, dict(size=450), r'--size 450: .*multiple of patches of 16; .*\[448, 464\]'),
    (PRE, dict(patch_size=10), '--patch-size 10: no multiple of stride 4 of the instance map'),
    (PRE, dict(patch_size=12), r'--patch-size 12: an image of 224 pixels .*\[216, 228\]'),
    (MASKFEAT, dict(patch_size=7), r'HOGTarget\.pool would be 3\.5'),
    (DET, dict(patch_size=32), r'the pyramid would rescale its features by \[8.0, 4.0'),
    (MAE, dict(classes='a,b'), 'the MAE of this config has no classes'),
    (ADE, dict(classes='car,catt'), 'ADE20KDataset has classes of its own, catt is none'),
    (DET, dict(classes='a,b,a'), r"\['a'\] are there twice"),
    (DET, dict(classes='a,,b'), 'one is empty'),
    (DET, dict(classes='5'), 'would be one class of the name 5'),
    ('pretrain/c2fmae_own_data', dict(classes='a,b'), 'makes its semantic maps from the masks'),
    ('mini/seg', dict(size=128), 'takes photographs as they are'),
    (PRE, dict(lr=float('nan')), '--lr nan: expected a number'),
]


@pytest.mark.parametrize(('name', 'options', 'message'), REFUSED)
def test_an_option_that_does_not_apply_says_why(name, options, message):
    with pytest.raises(ValueError, match=message):
        moved(name, **options)


def test_classes_come_from_what_the_data_states(tmp_path):
    for name in ('Cat', 'ant', 'bee'):
        (tmp_path / 'train' / name).mkdir(parents=True)
    (tmp_path / 'labels.json').write_text(json.dumps(dict(semantic_classes=['x', 'y'], source={})))
    categories = [dict(id=7, name='dog'), dict(id=2, name='cat')]
    (tmp_path / 'instances_train.json').write_text(json.dumps(dict(categories=categories)))
    expected = {CLS: ['Cat', 'ant', 'bee'], DET: ('cat', 'dog'), SEG: ('x', 'y')}
    for name, names in expected.items():
        cfg = deepcopy(configs.read(ROOT / f'configs/{name}.py'))
        cfg.train_dataloader.dataset.data_root = str(tmp_path)
        apply_classes(cfg, 'auto')
        dataset = cfg.val_dataloader.dataset
        assert dataset.get('classes', (dataset.get('metainfo') or {}).get('classes')) == names
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match=r'nowhere/labels\.json does not exist'):
        apply_classes(cfg, 'auto')


@pytest.mark.parametrize(
    'options', [dict(size=96), dict(patch_size=4), dict(size=32, patch_size=4)]
)
@pytest.mark.parametrize(
    'name', ['mini/c2fmae_mini_scenes', 'mini/pretrain/mae_mini_scenes',
             'mini/pretrain/multimae_mini_scenes', 'mini/pretrain/maskfeat_mini_scenes'],
)  # fmt: skip
def test_a_step_of_the_resolved_pre_training_computes_a_loss(name, options):
    _, cfg = moved(name, **options)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    batch = _batch(cfg)
    data = model.data_preprocessor(batch, True)
    losses = model.loss(data['inputs'], data['data_samples'])
    assert all(value.isfinite().all() for value in losses.values())


def _batch(cfg):
    """Return two samples of noise, cropped and masked by the pipeline of a config."""
    import numpy as np
    from mmengine.dataset import Compose, default_collate

    names = list(cfg.train_dataloader.dataset.data_prefix)
    steps = [s for s in cfg.train_dataloader.dataset.pipeline if s.type != 'LoadMultiGranular']
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(steps)
    samples = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        sample = dict(granularities=names, rng=rng, progress=0.5, rgb_path='x', skipped='')
        sample['rgb'] = rng.integers(0, 256, (120, 100, 3), dtype=np.uint8)
        for label in names[1:]:
            sample[label] = rng.integers(0, 4, (120, 100), dtype=np.uint8)
        samples.append(pipeline(sample))
    return default_collate(samples)


def test_a_run_by_options_alone_has_the_length_size_and_batch_that_it_was_told(
    config_file, tmp_path
):
    options = ('--epochs', 2, '--size', 48, '--patch-size', 4, '--batch-size', 3, '--workers', 0)
    runner = run(config_file, '--work-dir', tmp_path / 'run', *options, '--lr', 2e-3)
    assert (runner.epoch, runner.iter) == (2, 8)
    assert runner.model.backbone.num_patches == 12 * 12
    masking = runner.train_dataloader.dataset.pipeline.transforms[4]
    assert masking.num_visible == 72  # 8 of 3 x 16, so 72 of 3 x 144


def test_masks_of_another_grid_are_refused_and_not_read_from_other_samples(config_file, tmp_path):
    with pytest.raises(ValueError, match='masks have 64 patches, the model 4 x 4 = 16'):
        run(config_file, '--work-dir', tmp_path / 'run', 'ProgressiveMasking.patch_size=4')


@pytest.mark.parametrize(
    'options',
    [
        ('--total-batch', 8, '--auto-scale-lr'),
        ('--auto-scale-lr', '--cfg-options', 'optim_wrapper.accumulative_counts=2'),
        ('--total-batch', 8, '--cfg-options', 'auto_scale_lr.enable=True'),
    ],
)
def test_accumulation_and_scaling_by_the_batch_of_one_pass_are_refused_together(
    config_file, tmp_path, options
):
    with pytest.raises(ValueError, match='knows nothing of accumulation'):
        run(config_file, '--work-dir', tmp_path / 'run', *options)


NAMES = [dict(id=7, name='dog "a"'), dict(id=2, name='"categories": ['), dict(id=3, name='Käse')]
LAYOUTS = {
    'last': dict(images=[], categories=NAMES),
    'first': dict(categories=NAMES, images=[dict(file_name='"categories"')]),
    'a decoy before it': dict(info=dict(categories=[dict(id=1, name='x')]), categories=NAMES),
    'a decoy of texts': dict(info=dict(categories=['x']), categories=NAMES),
    'a decoy behind it': dict(categories=NAMES, licenses=[dict(categories=[])]),
    'more fields': dict(categories=[dict(one, supercategory='y', keypoints=[]) for one in NAMES]),
}


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('style', [dict(), dict(indent=1), dict(separators=(',', ':'))])
def test_categories_are_read_wherever_they_stand(tmp_path, layout, encoding, style):
    text = json.dumps(LAYOUTS[layout], ensure_ascii=False, **style)
    (tmp_path / 'x.json').write_text(text, encoding=encoding)
    assert _categories(tmp_path / 'x.json') == ('"categories": [', 'Käse', 'dog "a"')


@pytest.mark.parametrize(
    'content',
    ['', '[]', '{}', '{"categories": {}}', '{"categories": [1]}', '{"categories": [{"id": 1}]}',
     '{"categories": [{"id": 1, "name": "x"'],
)  # fmt: skip
def test_files_without_categories_are_named(tmp_path, content):
    (tmp_path / 'x.json').write_text(content)
    with pytest.raises(ValueError, match=r'x\.json') as error:
        _categories(tmp_path / 'x.json')
    assert '\n' not in str(error.value)
