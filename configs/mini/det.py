"""Mask R-CNN on the built-in scenes: the recipe of configs/det/, in miniature."""

_base_ = ['../det/mask_rcnn_own_data.py']

data_root = 'data/scenes/'
classes = (
    'beetle', 'bird', 'boat', 'bus', 'butterfly', 'car', 'fish', 'house', 'kite', 'turtle',
)  # fmt: skip
model = dict(
    backbone=dict(
        _delete_=True,
        type='PlainViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        drop_path_rate=0.1,
        out_type='featmap',
        out_indices=[1, 2, 3, 5],
        final_norm=False,
    ),
    neck=[
        dict(
            type='mmseg.Feature2Pyramid',  # patches of 8 pixels to strides 4, 8, 16, 32
            embed_dim=192,
            rescales=[2, 1, 0.5, 0.25],
            norm_cfg=dict(type='mmpretrain.LN2d', eps=1e-6),
        ),
        dict(
            type='FPN',
            in_channels=[192] * 4,
            out_channels=96,
            num_outs=4,
            norm_cfg=dict(type='mmpretrain.LN2d', eps=1e-6),
        ),
        dict(type='FullPrecision'),
    ],
    rpn_head=dict(
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(finest_scale=14),
        mask_roi_extractor=dict(finest_scale=14),
        bbox_head=dict(num_classes=10),
        mask_head=dict(num_classes=10),
    ),
    train_cfg=dict(rpn_proposal=dict(max_per_img=100), rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(max_per_img=100), rcnn=dict(max_per_img=20)),
)
dataset = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        indices=800,
        pipeline=[
            dict(type='KeyedRandomness'),
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            ),
        ],
        **dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay=0.75))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', begin=0, end=5, T_max=5, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=5, val_interval=5)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=25))
