"""Mask R-CNN on your own boxes and masks (docs/own_boxes_masks.md): a small one for small data.

Expects images/ and, from tools/masks_to_coco.py, instances_train.json and instances_val.json under
--data-root. The encoder is that of configs/pretrain/c2fmae_own_data.py; on a GPU take more of
everything, or mask_rcnn_vitb_1x_coco.py with your classes.
"""

_base_ = './mask_rcnn_vitb_1x_coco.py'

data_root = 'data/own/'
classes = ('object',)
dims, channels, num_classes, proposals = 192, 96, len(classes), 200

norm_cfg = dict(type='mmpretrain.LN2d', eps=1e-6)

model = dict(
    backbone=dict(arch='deit-tiny', drop_path_rate=0.1),
    neck=[
        dict(
            type='mmseg.Feature2Pyramid',
            embed_dim=dims,
            rescales=[4, 2, 1, 0.5],
            norm_cfg=norm_cfg,
        ),
        dict(
            type='FPN',
            in_channels=[dims] * 4,
            out_channels=channels,
            num_outs=5,
            norm_cfg=norm_cfg,  # steadier than none in a short run
        ),
        dict(type='FullPrecision'),
    ],
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=num_classes),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(
            num_convs=2, in_channels=channels, conv_out_channels=channels, num_classes=num_classes
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=proposals),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=proposals)),
)
dataset = dict(data_root=data_root, data_prefix=dict(img='images/'), metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=2,  # few images: many steps matter more than large ones
    num_workers=2,
    dataset=dict(
        ann_file='instances_train.json',
        pipeline=[
            dict(type='KeyedRandomness'),
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                type='RandomChoiceResize',
                scales=[(384, short) for short in (208, 240, 272)],
                keep_ratio=True,
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
        **dataset,
    ),
)
val_dataloader = dict(
    dataset=dict(
        ann_file='instances_val.json',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(384, 256), keep_ratio=True),
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
val_evaluator = dict(ann_file=data_root + 'instances_val.json')
test_evaluator = val_evaluator

optim_wrapper = dict(
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(layer_decay=1.0),  # after a small pre-training all layers have to learn
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=100),
    dict(type='MultiStepLR', milestones=[9, 11], gamma=0.1, end=12),
]
train_cfg = dict(val_interval=6)
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(logger=dict(interval=20))
log_processor = dict(window_size=20)
