"""Pascal VOC 2012 with the masks of SBD (trainaug), images squashed to 448 x 448."""

_base_ = 'mmseg::_base_/datasets/pascal_voc12.py'

data_root = 'data/VOCdevkit/VOC2012'
size = (448, 448)
train_dataloader = dict(
    batch_size=60,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(seg_map_path='SegmentationClassAug'),
        ann_file='ImageSets/Segmentation/trainaug.txt',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            # A crop of 448 is then 0.8 to 1 of the image.
            dict(type='RandomResize', scale=size, ratio_range=(1.0, 1.118), keep_ratio=False),
            dict(type='RandomCrop', crop_size=size),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=size, keep_ratio=False),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    )
)
test_dataloader = val_dataloader
