"""Mask R-CNN on your own boxes and masks with the mini encoder (docs/own_boxes_masks.md)."""

_base_ = ['./det.py']

data_root = 'data/own/'
classes = ('object',)
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    test_cfg=dict(rcnn=dict(max_per_img=100)),  # as many as COCO's AP counts
)
dataset = dict(data_root=data_root, data_prefix=dict(img='images/'), metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        ann_file='instances_train.json',
        indices=None,
        pipeline=[
            dict(type='KeyedRandomness'),
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                type='RandomChoiceResize',
                scales=[(224, short) for short in (112, 128, 144)],
                keep_ratio=True,
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='instances_val.json',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(224, 128), keep_ratio=True),
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

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', begin=0, end=16, T_max=16, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=16, val_interval=8)
