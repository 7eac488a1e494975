"""COCO 2017 instances with multi-scale training: short side 480 to 800, long side at most 1333."""

_base_ = 'mmdet::_base_/datasets/coco_instance.py'

data_root = 'data/coco/'
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    dataset=dict(
        pipeline=[
            dict(type='KeyedRandomness'),
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                type='RandomChoiceResize',
                scales=[(1333, short) for short in range(480, 801, 32)],
                keep_ratio=True,
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
    ),
)
