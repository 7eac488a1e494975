"""Fields by their dotted path: what is refused, and what is not."""

from copy import deepcopy

import pytest
from mmengine.config import Config

import mmc2fmae  # noqa: F401
from mmc2fmae import configs
from mmc2fmae.engine.cfg_options import apply_cfg_options, check_options
from mmc2fmae.engine.overrides import apply_settings
from tests.conftest import ROOT


@pytest.fixture(scope='module')
def read():
    """Return a function that reads a config once and hands out copies."""
    known = {}

    def read_config(name='pretrain/c2fmae_vitb_400e') -> Config:
        if name not in known:
            known[name] = configs.read(ROOT / f'configs/{name}.py')
        return deepcopy(known[name])

    return read_config


GOOD = {
    'pretrain/c2fmae_vitb_400e': {
        'train_cfg.max_epochs': 3,
        'load_from': 'a.pth',
        'compile': True,
        'optim_wrapper.clip_grad.max_norm': 1.0,
        'optim_wrapper.paramwise_cfg.custom_keys.bias.lr_mult': 0.5,
        'optim_wrapper.paramwise_cfg.bias_lr_mult': 2,
        'model.data_preprocessor.mean': [1, 2, 3],
        'model.backbone.drop_path_rate': 0.1,  # not in the config, an argument of a parent
        'model.backbone.arch': 'large',
        'train_dataloader.prefetch_factor': 4,  # not in the config, an argument of DataLoader
        'train_dataloader.dataset.ann_file': 'some list.txt',
        'train_dataloader.num_batch_per_epoch': 2,
        'custom_hooks.3.max_share': 1,
        'default_hooks.checkpoint.interval': 5,
        'default_hooks.checkpoint.out_dir': 's3://x',  # of mmengine's CheckpointHook
        'randomness.deterministic': True,
        'env_cfg.dist_cfg.backend': 'gloo',
        'param_scheduler.1.eta_min': 1e-6,
        'param_scheduler': [],
        'train_cfg.val_interval': 2,
        'auto_scale_lr.enable': True,
        'log_processor.window_size': 5,
        'resume': True,
        'work_dir': 'x',
        '+train_cfg.whatever': 1,
        '+classes': ['a'],
    },
    'cls/vitb_ft_100e': {
        'model.head.num_classes': 5,
        'model.head.topk': 1,
        'model.head.loss.label_smooth_val': 0.2,
        'val_evaluator.topk': 1,
        'val_dataloader.dataset.expected': None,
        'train_dataloader.dataset.label_share': 0.1,
        'optim_wrapper.paramwise_cfg.layer_decay': 1.0,
        'optim_wrapper.accumulative_counts': 2,
    },
    'det/mask_rcnn_own_data': {
        'model.roi_head.bbox_head.num_classes': 3,
        'model.backbone.window_size': 14,
        'train_dataloader.dataset.indices': 10,
        'val_evaluator.classwise': True,
        'model.test_cfg.rcnn.score_thr': 0.3,
    },
    'seg/upernet_own_data': {
        'train_cfg.max_iters': 20,
        'model.test_cfg.mode': 'whole',
        'train_dataloader.dataset.img_suffix': '.png',
        'val_evaluator.iou_metrics': ['mIoU', 'mDice'],
    },
}


@pytest.mark.parametrize('name', GOOD)
def test_fields_of_the_config_and_arguments_of_its_parts_are_set(read, name):
    for key, value in GOOD[name].items():
        cfg = read(name)
        apply_cfg_options(cfg, {key: value})
        found = cfg
        for part in key.removeprefix('+').split('.'):
            found = found[int(part) if part.isdigit() else part]
        assert found == value, key


def test_a_new_part_with_a_type_passes(read):
    options = {'default_hooks.early.type': 'EarlyStoppingHook', 'default_hooks.early.monitor': 'x'}
    check_options(read(), options)


MISSPELT = [
    ('trian_cfg.max_epochs', 'there is no trian_cfg; the nearest: train_cfg'),
    ('train_config.max_epochs', 'there is no train_config; the nearest: train_cfg'),
    ('optimizer.lr', r'there is no optimizer; .*\(optim_wrapper\.optimizer\)'),
    ('batch_size', r'there is no batch_size; .*\(train_dataloader\.batch_size'),
    ('model.bakbone.depth', 'model has no bakbone; the nearest: backbone'),
    ('model.backbone.dropp_path_rate', 'model.backbone has no dropp_path_rate; .*drop_path_rate'),
    ('env_cfg.dis_cfg.backend', 'env_cfg has no dis_cfg; the nearest: dist_cfg'),
    ('optim_wrapper.clip_grads.max_norm', 'optim_wrapper has no clip_grads; .*clip_grad'),
    ('optim_wrapper.lr', r'optim_wrapper has no lr; .*\(optim_wrapper.optimizer.lr\)'),
    ('optim_wrapper.optimizer.weight_decy', 'has no weight_decy; the nearest: weight_decay'),
    ('optim_wrapper.clip_grad.max_nrm', 'optim_wrapper.clip_grad has no max_nrm; .*max_norm'),
    ('train_cfg.max_epoch', 'train_cfg has no max_epoch; the nearest: max_epochs'),
    ('train_dataloader.batchsize', 'has no batchsize; the nearest: batch_size'),
    ('train_dataloader.dataset.anno_file', 'has no anno_file; the nearest: ann_file'),
    ('default_hooks.chekpoint.interval', 'has no chekpoint; the nearest: checkpoint'),
    ('default_hooks.checkpoint.intervall', 'has no intervall; the nearest: interval'),
    ('custom_hooks.99.x', 'custom_hooks is a list of 8 and has no field 99'),
    ('custom_hooks.8', 'custom_hooks is a list of 8 and has no field 8'),
    ('randomness.sed', 'randomness has no sed; the nearest: seed'),
    ('auto_scale_lr.base_batch', 'has no base_batch; the nearest: base_batch_size'),
    ('model.backbone.arch.depth', "model.backbone.arch is 'base' and has no field depth"),
]


@pytest.mark.parametrize(('key', 'message'), MISSPELT)
def test_fields_that_no_run_reads_are_refused_and_can_be_marked_as_new(read, key, message):
    with pytest.raises(ValueError, match=f'--cfg-options {key}: .*{message}'):
        check_options(read(), {key: 1})
    if 'has no field' not in message:
        check_options(read(), {f'+{key}': 1})


def test_every_field_of_the_resolved_configs_is_refused_with_a_letter_missing(read):
    """Some hundred fields, each misspelt: none may be taken for a new one."""
    tried = 0
    for name in GOOD:
        cfg = read(name)
        for path, part in _typed(cfg):
            for field in part:
                if field in ('type', 'custom_keys', 'lr_mult') or len(field) < 5:
                    continue
                key = f'{path}.{field[:-2]}{field[-1]}'
                if key.rpartition('.')[2] in part:
                    continue
                with pytest.raises(ValueError, match='has no'):
                    check_options(cfg, {key: part[field]})
                tried += 1
    assert tried > 250


def _typed(cfg):
    from mmc2fmae.engine.overrides import typed_parts

    return list(typed_parts(cfg))


def test_a_variable_that_only_the_file_calculates_with_is_refused(read):
    with pytest.raises(ValueError, match='no run reads classes, the config file calculates'):
        check_options(read('seg/upernet_own_data'), {'classes': ['a', 'b']})


WRONG_KINDS = [
    ('train_cfg.max_epochs', 'ten', 'a text, expected a whole number'),
    ('train_cfg.max_epochs', 1.5, 'a number, expected a whole number'),
    ('train_cfg.max_epochs', True, 'True or False, expected a whole number'),
    ('train_dataloader.batch_size', [4, 8], 'a list, expected a whole number'),
    ('train_dataloader.persistent_workers', 'yes', 'a text, expected True or False'),
    ('train_dataloader.dataset.data_root', 3, 'a whole number, expected a text'),
    ('train_dataloader.dataset.data_root', ['a', 'b'], 'a list, expected a text.*in quotes'),
    ('optim_wrapper.optimizer.lr', '1e-3x', 'a text, expected a number'),
    ('optim_wrapper.optimizer.betas', 'x', 'a text, expected a list'),
    ('model.neck.depth', 'two', 'a text, expected a whole number'),
    ('randomness.seed', 'a', 'a text, expected a whole number'),
    ('train_cfg', 'x', 'a text, expected a part with fields'),
    ('resume', 'yes', 'a text, expected True or False'),
]


@pytest.mark.parametrize(('key', 'value', 'message'), WRONG_KINDS)
def test_a_value_of_another_type_than_the_fields_is_refused(read, key, value, message):
    with pytest.raises(ValueError, match=f'--cfg-options {key}: .* is {message}'):
        apply_cfg_options(read(), {key: value})


@pytest.mark.parametrize(
    'setting',
    [
        'ProgressiveMasking.num_visible=many', 'JointRandomResizedCrop.size=224,224',
        'AdamW.lr=fast', 'LoadMultiGranular.num_classes.semantic=x', 'C2FMAE.compile=3',
    ],
)  # fmt: skip
def test_settings_refuse_them_too(read, setting):
    with pytest.raises(ValueError, match=rf'--set {setting}: .*, expected '):
        apply_settings(read(), [setting])
