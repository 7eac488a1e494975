"""Classification on your own classes, ViT-Ti/16 (docs/first_number.md): for a laptop.

Expects what own_classes_vitb.py does. The encoder is that of configs/pretrain/mae_own_data.py and
c2fmae_own_data.py; without mixing of photographs, so that a short run learns something.
"""

_base_ = './own_classes_vitb.py'

model = dict(
    backbone=dict(arch='deit-tiny', drop_path_rate=0.0),
    head=dict(in_channels=192),
    train_cfg=None,
)
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    dataset=dict(
        pipeline=[
            dict(type='KeyedRandomness'),
            dict(type='LoadImageFromFile', imdecode_backend='pillow'),
            dict(
                type='RandomResizedCrop',
                scale=224,
                crop_ratio_range=(0.25, 1.0),
                backend='pillow',
                interpolation='bicubic',
            ),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ]
    ),
)
val_dataloader = dict(num_workers=1)
test_dataloader = val_dataloader
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.75))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=3, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=3, end=30, T_max=27, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=16)
