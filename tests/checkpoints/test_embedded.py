import copy
import inspect

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import TRANSFORMS

from mmc2fmae.checkpoints.embedded import DATASET as LISTED
from mmc2fmae.checkpoints.embedded import check, embedded_type, parse_config, read_embedded
from mmc2fmae.errors import CheckpointMismatch

MODEL = dict(
    type='C2FMAE',
    compile=True,
    backbone=dict(
        type='MultiGranularViT',
        arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
        granularities=dict(semantic=dict(num_classes=9, stride=2)),
        norm_cfg=dict(type='LN', eps=1e-6),
        init_cfg=dict(type='StrictPretrained', checkpoint='/home/somebody/start.pth'),
    ),
    neck=dict(type='CascadedDecoder', dims=16),
    head=dict(type='MultiGranularHead', loss_weights=dict(semantic=1.0)),
    data_preprocessor=dict(mean=[1.0, 2.0, 3.0]),
)
DATASET = dict(
    type='MultiGranularDataset',
    data_root='/data/photographs',
    data_prefix=dict(rgb='train', semantic='semantic/train'),
    ann_file='train.txt',
    indices=320,
    pipeline=[
        dict(type='LoadMultiGranular', num_classes=dict(semantic=9)),
        dict(type='ProgressiveMasking', curriculum=dict(alpha_s=((0, 1),), alpha_i=((0, 0),))),
        dict(type='PackMultiGranular'),
    ],
)


@pytest.fixture
def fields():
    return copy.deepcopy(
        dict(
            model=MODEL,
            train_dataloader=dict(dataset=DATASET, sampler=dict(type='DefaultSampler')),
            custom_imports=dict(imports=['mmc2fmae']),
            custom_hooks=[dict(type='SomebodysHook')],
            optim_wrapper=dict(optimizer=dict(type='AdamW')),
        )
    )


@pytest.fixture
def save(tmp_path):
    def save(fields: dict, **meta):
        path = tmp_path / 'epoch_3.pth'
        meta = dict(cfg=Config(fields).pretty_text) | meta
        torch.save(dict(meta=meta, state_dict={'backbone.cls_token': torch.zeros(1)}), path)
        return path

    return save


def put(fields: dict, place: str, value) -> dict:
    """Set a dotted place, whose numbers are places in lists."""
    *way, last = [int(part) if part.isdecimal() else part for part in place.split('.')]
    inner = fields
    for part in way:
        inner = inner[part]
    inner[last] = value
    return fields


def test_a_config_as_checkpoints_carry_it_is_read():
    cfg = Config(dict(model=dict(a=(1, 2.5), b=None, **{'c-d': [dict(e='x')]}), flag=True))
    assert parse_config(cfg.pretty_text) == cfg.to_dict()


@pytest.mark.parametrize(
    'text', ['a = print(1)', 'import os', 'a = dict(**b)', "a = dict(x=open('f'))", 'a: int']
)
def test_a_config_with_code_is_never_run(text):
    with pytest.raises(ValueError, match='line 1 is no plain value'):
        parse_config(text)


def test_model_and_data_are_taken_and_nothing_else(fields, save):
    model, dataset = read_embedded(save(fields))
    expected = {key: value for key, value in MODEL.items() if key != 'compile'}
    backbone = {key: value for key, value in MODEL['backbone'].items() if key != 'init_cfg'}
    preprocessor = dict(type='MultiGranularPreprocessor', mean=[1.0, 2.0, 3.0])
    assert model == expected | dict(backbone=backbone, data_preprocessor=preprocessor)
    assert dataset == DATASET


def test_the_type_of_the_model_alone_can_be_asked_for(fields, save, tmp_path):
    assert embedded_type(save(put(fields, 'model', PROGRAM))) == 'os.system'  # never built
    assert embedded_type(save(put(fields, 'model', 7))) is None
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={'backbone.cls_token': torch.zeros(1)}), path)
    assert embedded_type(path) is None


PROGRAM = dict(type='os.system', command='touch flag')
PLACES = [
    'model',
    'model.backbone',
    'model.neck',
    'model.head',
    'model.data_preprocessor',
    'model.backbone.norm_cfg',
    'model.backbone.arch',
    'model.head.loss_weights',
    'model.backbone.granularities.semantic',
    'train_dataloader.dataset',
    'train_dataloader.dataset.pipeline.1',
    'train_dataloader.dataset.pipeline.1.curriculum',
]


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('type_', ['os.system', 'subprocess.run', 'builtins.exec', 'Conv2d', 7])
def test_a_type_that_is_not_known_is_named_wherever_it_stands(fields, save, place, type_):
    path = save(put(fields, place, PROGRAM | dict(type=type_)))
    with pytest.raises(CheckpointMismatch) as error:
        read_embedded(path)
    message = str(error.value)
    assert f'{place}'.replace('.1', '[1]') + '.type' in message and repr(type_) in message
    assert '--config FILE' in message and '\n' not in message


@pytest.mark.parametrize(
    'place',
    [
        'custom_hooks',
        'optim_wrapper',
        'custom_imports',
        'train_dataloader.sampler',
        'default_scope',
    ],
)
def test_what_is_not_read_does_not_matter(fields, save, place):
    model, dataset = read_embedded(save(put(fields, place, PROGRAM)))
    assert 'os.system' not in repr((model, dataset))


@pytest.mark.parametrize('place', ['model', 'model.backbone', 'model.neck', 'model.head'])
def test_what_fills_in_weights_is_passed_over(fields, save, place):
    model, dataset = read_embedded(save(put(fields, f'{place}.init_cfg', PROGRAM)))
    assert 'os.system' not in repr((model, dataset))


@pytest.mark.parametrize(
    ('place', 'value', 'said'),
    [
        ('model.backbone.patch_cfg', dict(conv_type='os.system'), 'model.backbone.patch_cfg is no'),
        ('model.init', 'x', 'model.init is no argument of C2FMAE'),
        ('train_dataloader.dataset.backend_args', dict(backend='x'), 'backend_args is no argument'),
        ('train_dataloader.dataset.pipeline', [7], r'pipeline\[0\] is 7, expected a dict'),
        ('train_dataloader.dataset.ann_file', '/etc/passwd', "ann_file = '/etc/passwd', outside"),
        ('train_dataloader.dataset.data_prefix.rgb', '../../home', 'outside of its data_root'),
        ('train_dataloader.dataset.data_prefix', '/home', "data_prefix = '/home', outside"),
        ('train_dataloader.dataset.data_root', 's3://bucket', "data_root is 's3://bucket'"),
        ('train_dataloader', 'x', 'train_dataloader.dataset is None, expected a dict'),
    ],
)
def test_other_arguments_and_places_are_refused(fields, save, place, value, said):
    with pytest.raises(CheckpointMismatch, match=said):
        read_embedded(save(put(fields, place, value)))


@pytest.mark.parametrize(
    'text', ['model = [' + '[' * 5000, 'model = ' + '-' * 100_000 + '1', '\0', 'model = 5']
)
def test_a_text_that_is_no_config_is_one_line(fields, save, text):
    with pytest.raises(CheckpointMismatch, match=r'epoch_3\.pth: its embedded config is not used'):
        read_embedded(save(fields, cfg=text))


def test_a_part_whose_type_is_open_needs_one():
    types = dict(One=dict(a=None), Two={})
    assert check(dict(type='One', a=1), types, 'part') == dict(type='One', a=1)
    with pytest.raises(ValueError, match=r"part\.type is None, expected 'One' or 'Two'"):
        check(dict(a=1), types, 'part')


@pytest.mark.parametrize('name', LISTED['MultiGranularDataset']['pipeline'])
def test_every_option_of_a_transform_of_the_pre_training_is_read(name):
    options = list(inspect.signature(TRANSFORMS.get(name)).parameters)
    assert list(LISTED['MultiGranularDataset']['pipeline'][name]) == options
