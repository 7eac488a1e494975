"""BEiT, ViT-B/16, 300 epochs on ImageNet-1K: SemanticMIM's baseline, settings as published.

40 % of the patches are masked; one class token, ordinary attention. Needs DALL-E's encoder
(docs/semanticmim.md).
"""

_base_ = [
    '../../_base_/models/beit_vitb.py',
    '../../_base_/datasets/imagenet_rgb_masked.py',
    '../../_base_/schedules/adamw_400e.py',
    '../../_base_/pretrain_runtime.py',
]
_base_.custom_hooks.append(dict(type='KeyedRandomnessHook'))  # drop path draws in the model

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'LinearLR', end=10)
set_fields(_base_, 'CosineAnnealingLR', eta_min=1e-5, begin=10, end=300, T_max=290)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='RandomColour', brightness=0.4, contrast=0.4, saturation=0.4),
            dict(type='JointRandomResizedCrop', size=224, scale=(0.08, 1.0)),
            dict(type='JointRandomFlip', prob=0.5),
            dict(
                type='ProgressiveMasking',
                granularities=('rgb',),
                patch_size=16,
                num_visible=117,  # 196 - ceil(0.4 x 196)
                curriculum='RD',
            ),
            dict(type='PackMultiGranular'),
        ],
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=1.5e-3, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=3.0),
    paramwise_cfg=dict(  # the mask token decays
        _delete_=True,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            cls_token=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            gamma=dict(decay_mult=0.0),
        ),
    ),
)
train_cfg = dict(max_epochs=300)
