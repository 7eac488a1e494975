"""Linear segmentation on ADE20K: one 1 x 1 convolution on the frozen, normalised last block."""

_base_ = './upernet_vitb_160k_ade20k.py'

model = dict(
    backbone=dict(drop_path_rate=0.0, out_indices=[11], final_norm=True, frozen_stages=12),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=768,
        channels=768,
        in_index=0,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4, fused=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=40_000),
]
train_cfg = dict(max_iters=40_000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
