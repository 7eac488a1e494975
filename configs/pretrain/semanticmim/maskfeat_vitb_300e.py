"""MaskFeat, ViT-B/16, 300 epochs on ImageNet-1K: SemanticMIM's baseline, settings as published.

40 % of the patches are masked; one class token, ordinary attention.
"""

_base_ = [
    '../../_base_/models/maskfeat_vitb.py',
    '../../_base_/datasets/imagenet_rgb_masked.py',
    '../../_base_/schedules/adamw_400e.py',
    '../../_base_/pretrain_runtime.py',
]

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'LinearLR', start_factor=1e-6, end=30)
set_fields(_base_, 'CosineAnnealingLR', eta_min=1e-6, begin=30, end=300, T_max=270)

optim_wrapper = dict(
    optimizer=dict(lr=1.6e-3, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=0.02),
    paramwise_cfg=dict(  # class tokens and positions decay
        _delete_=True,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(mask_token=dict(decay_mult=0.0)),
    ),
)
train_cfg = dict(max_epochs=300)
