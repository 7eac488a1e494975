"""Linear segmentation on a frozen plain ViT-B: one 1 x 1 convolution on its last block."""

_base_ = './upernet_vit.py'

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
