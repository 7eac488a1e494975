"""Table I, dagger: fine-tuning with photograph, instance and semantic maps as input."""

_base_ = ['./vitb_ft_100e.py']

model = dict(
    type='MultiGranularClassifier',
    data_preprocessor=dict(_delete_=True, type='LabelledMultiGranularPreprocessor'),
    backbone=dict(
        type='MultiGranularViT',
        granularities=dict(
            instance=dict(num_classes=32, stride=4), semantic=dict(num_classes=133, stride=4)
        ),
    ),
)

# RandAugment without its geometric transforms, which would part the photograph from its maps.
colours = [
    dict(type='AutoContrast'),
    dict(type='Equalize'),
    dict(type='Invert'),
    dict(type='Posterize', magnitude_range=(4, 0)),
    dict(type='Solarize', magnitude_range=(256, 0)),
    dict(type='SolarizeAdd', magnitude_range=(0, 110)),
    dict(type='ColorTransform', magnitude_range=(0, 0.9)),
    dict(type='Contrast', magnitude_range=(0, 0.9)),
    dict(type='Brightness', magnitude_range=(0, 0.9)),
    dict(type='Sharpness', magnitude_range=(0, 0.9)),
]
train_pipeline = [
    dict(type='KeyedRandomness'),
    dict(type='LoadMultiGranular', num_classes=dict(semantic=133)),
    dict(type='JointRandomResizedCrop', size=224, label_stride=4, scale=(0.08, 1.0)),
    dict(type='JointRandomFlip', prob=0.5),
    dict(type='CanonicalInstances', num_instances=32),
    dict(
        type='KeyMapper',
        mapping=dict(img='rgb'),
        auto_remap=True,
        transforms=[
            dict(
                type='RandAugment',
                policies=colours,
                num_policies=2,
                total_level=10,
                magnitude_level=9,
                magnitude_std=0.5,
            ),
            dict(
                type='RandomErasing',
                erase_prob=0.25,
                mode='rand',
                min_area_ratio=0.02,
                max_area_ratio=1 / 3,
                fill_color=[123.675, 116.28, 103.53],
                fill_std=[58.395, 57.12, 57.375],
            ),
        ],
    ),
    dict(type='PackMultiGranular'),
]
test_pipeline = [
    dict(type='LoadMultiGranular', num_classes=dict(semantic=133)),
    dict(type='JointCenterCrop', size=224, label_stride=4, crop_ratio=224 / 256),
    dict(type='CanonicalInstances', num_instances=32),
    dict(type='PackMultiGranular'),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiGranularDataset',
        data_root='data/imagenet',
        data_prefix=dict(rgb='train', instance='instance/train', semantic='semantic/train'),
        classes='imagenet',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiGranularDataset',
        data_root='data/imagenet',
        data_prefix=dict(rgb='val', instance='instance/val', semantic='semantic/val'),
        classes='imagenet',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
custom_hooks = [dict(type='DataProgressHook'), *_base_.custom_hooks]
