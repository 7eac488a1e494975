"""UperNet on your own masks (docs/own_boxes_masks.md): a small one for small data.

Expects images/{train,val}/NAME.jpg, or any other suffix, and masks/{train,val}/NAME.png (class ids
from 0, 255 = not counted) under --data-root. The encoder is that of
configs/pretrain/c2fmae_own_data.py; on a GPU take more of everything, or
upernet_vitb_160k_ade20k.py with your classes.
"""

_base_ = './upernet_vitb_160k_ade20k.py'

custom_imports = dict(imports=['mmc2fmae', 'mmc2fmae.datasets.segmentation_folders'])

data_root = 'data/own'
classes = ('background', 'object')
dims, channels, num_classes = 192, 96, len(classes)
crop = (224, 224)

model = dict(
    data_preprocessor=dict(size=crop),
    backbone=dict(arch='deit-tiny', img_size=224),
    neck=dict(embed_dim=dims),
    decode_head=dict(in_channels=[dims] * 4, channels=channels, num_classes=num_classes),
    auxiliary_head=dict(in_channels=dims, channels=64, num_classes=num_classes),
    test_cfg=dict(crop_size=crop, stride=(149, 149)),
)
dataset = dict(
    type='SegmentationFolders',  # photographs of any suffix
    data_root=data_root,
    metainfo=dict(classes=classes),
    seg_map_suffix='.png',
    reduce_zero_label=False,  # True: 0 = not labelled, classes from 1, as in ADE20K
)
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomResize', scale=(1024, 256), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=crop, cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ],
        **dataset,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path='images/val', seg_map_path='masks/val'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(1024, 256), keep_ratio=True),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        **dataset,
    ),
)
test_dataloader = val_dataloader
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=50),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=50, end=500),
]
train_cfg = dict(max_iters=500, val_interval=250)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
