"""MultiMAE on C2FMAE's data, 400 epochs: 83.0 top-1 in Table V, "+ Our Dataset (R+I+S)"."""

_base_ = [
    '../_base_/models/multimae_vitb.py',
    '../_base_/datasets/imagenet_multi_granular.py',
    '../_base_/schedules/adamw_400e.py',
    '../_base_/pretrain_runtime.py',
]

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', curriculum='RD')

model = dict(
    backbone=dict(
        granularities=dict(
            _delete_=True,
            instance=dict(num_classes=32, stride=4, class_std=0.02),
            semantic=dict(num_classes=133, stride=4, class_std=0.02),
        ),
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(granularity_embed=dict(decay_mult=1.0))),
)
