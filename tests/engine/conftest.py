"""A tiny dataset and a config that trains on it in seconds."""

from pathlib import Path

import pytest

from tests.datasets.conftest import write_sample

CONFIG = """
_base_ = ['{root}/configs/_base_/pretrain_runtime.py']
granularities = dict(
    instance=dict(num_classes=4, stride=2), semantic=dict(num_classes=9, stride=2)
)
model = dict(
    type='C2FMAE',
    backbone=dict(
        type='MultiGranularViT',
        arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
        img_size=32,
        patch_size=8,
        granularities=granularities,
    ),
    neck=dict(type='CascadedDecoder', dims=16, num_heads=2, depth=1),
    head=dict(type='MultiGranularHead'),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='MultiGranularDataset',
        data_root='{data}',
        pipeline=[
            dict(type='LoadMultiGranular', num_classes=dict(semantic=9)),
            dict(type='JointRandomResizedCrop', size=32, label_stride=2),
            dict(type='JointRandomFlip'),
            dict(type='CanonicalInstances', num_instances=4),
            dict(type='ProgressiveMasking', patch_size=8, num_visible=8),
            dict(type='PackMultiGranular'),
        ],
    ),
)
optim_wrapper = dict(
    type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(type='AdamW', lr=1e-3, fused=True)
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=3, convert_to_iter_based=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """Write twelve samples and a config for them."""
    data = tmp_path / 'data'
    for i in range(12):
        write_sample(data, f'n{i % 3}/img_{i:02}', seed=i)
    path = tmp_path / 'tiny.py'
    root = Path(__file__).parents[2]
    path.write_text(CONFIG.replace('{root}', str(root)).replace('{data}', str(data)))
    return path
