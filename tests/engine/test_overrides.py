import pytest
from mmengine.config import Config

import mmc2fmae  # noqa: F401
from mmc2fmae.engine.overrides import (
    apply_settings,
    constructor_fields,
    set_fields,
    typed_parts,
)
from tests.conftest import ROOT


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(ROOT / 'configs/pretrain/c2fmae_vitb_400e.py')


def step(cfg, name):
    (found,) = [part for part in cfg.train_dataloader.dataset.pipeline if part.type == name]
    return found


def test_a_field_is_set_wherever_the_type_stands():
    crop = dict(type='RandomCrop', crop_size=8)
    pipeline = [dict(type='LoadImageFromFile'), crop]
    inner = dict(type='RepeatDataset', times=2, dataset=dict(type='Own', pipeline=pipeline))
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=inner),
            val_dataloader=dict(dataset=dict(type='Own', pipeline=[crop])),
            train_pipeline=[crop],  # a variable of the file: no run reads it
        )
    )
    assert set_fields(cfg, 'RandomCrop', crop_size=4) == [
        'train_dataloader.dataset.dataset.pipeline.1.crop_size',
        'val_dataloader.dataset.pipeline.0.crop_size',
    ]
    assert cfg.val_dataloader.dataset.pipeline[0].crop_size == 4
    assert cfg.train_pipeline[0].crop_size == 8


def test_parts_of_model_hooks_optimizer_and_schedule_are_found(cfg):
    names = {part['type'] for _, part in typed_parts(cfg)}
    assert names >= {
        *('C2FMAE', 'MultiGranularViT', 'ProgressiveMasking', 'SkippedSamplesHook', 'LoggerHook'),
        *('AmpOptimWrapper', 'AdamW', 'CosineAnnealingLR', 'default_collate'),
    }


@pytest.mark.parametrize(
    ('setting', 'line'),
    [
        ('ProgressiveMasking.num_visible=147',
         'train_dataloader.dataset.pipeline.4.num_visible = 147'),
        ('LoadMultiGranular.num_classes.semantic=150',
         'train_dataloader.dataset.pipeline.0.num_classes.semantic = 150'),
        ('AdamW.betas=(0.9,0.99)', 'optim_wrapper.optimizer.betas = (0.9, 0.99)'),
        ('SkippedSamplesHook.max_share=0.5', 'custom_hooks.3.max_share = 0.5'),
        ('AmpOptimWrapper.clip_grad.max_norm=1.0', 'optim_wrapper.clip_grad.max_norm = 1.0'),
        ('C2FMAE.compile=True', 'model.compile = True'),
        ('NonFiniteGuardHook.priority=LOW', "custom_hooks.6.priority = 'LOW'"),
    ],
)  # fmt: skip
def test_settings_are_read_as_config_options_are_and_say_where_they_went(cfg, setting, line):
    assert apply_settings(cfg, [setting]) == [line]


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('ProgresiveMasking.alpha=0.7', r'no part of type ProgresiveMasking; .*ProgressiveMasking'),
        ('ProgressiveMasking.num_visable=3', r'takes no field num_visable; .*: num_visible'),
        ('MultiGranularViT.drop_path_rat=1', r'no field drop_path_rat; .*: drop_path_rate'),  # of a
        # parent that gets it through **kwargs
        ('ProgressiveMasking=3', r'expected TYPE\.field=value'),
        ('ProgressiveMasking.alpha', r'expected TYPE\.field=value'),
        ('MultiGranularViT.arch.depth=3', r"arch of model\.backbone .* is 'base'"),
    ],
)
def test_a_misspelt_setting_names_the_nearest(cfg, setting, message):
    with pytest.raises(ValueError, match=rf'--set {setting}: (.*){message}'):
        apply_settings(cfg, [setting])


def test_a_config_file_sets_fields_of_its_base_and_survives_being_written(tmp_path):
    path = tmp_path / 'child.py'
    path.write_text(
        f"_base_ = '{ROOT}/configs/pretrain/ablations/table6b_rd.py'\n"
        'from mmc2fmae.engine.overrides import set_fields\n'
        "set_fields(_base_, 'ProgressiveMasking', num_visible=49)\n"
        'train_cfg = dict(max_epochs=7)\n'
    )
    child = Config.fromfile(path)
    masking = step(child, 'ProgressiveMasking')
    assert (masking.num_visible, masking.curriculum) == (49, 'RD')
    child.dump(tmp_path / 'written.py')
    assert Config.fromfile(tmp_path / 'written.py').to_dict() == child.to_dict()


def test_what_a_constructor_takes_includes_what_it_hands_to_its_parents():
    class Parent:
        def __init__(self, size, *, colour='red'): ...

    class Child(Parent):
        def __init__(self, name, **kwargs): ...

    from mmengine.registry import HOOKS

    HOOKS.register_module('ChildOfATest', module=Child)
    assert constructor_fields('ChildOfATest') == {'name', 'size', 'colour'}
    assert constructor_fields('NoSuchType') is None
