"""ImageNet-1K with depth and semantic maps beside it, for MultiMAE (layout: docs/baselines.md)."""

_base_ = 'imagenet_multi_granular.py'

train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(
            _delete_=True, rgb='train', depth='depth/train', semantic='semantic/train'
        ),
        pipeline=[
            dict(
                type='LoadMultiGranular',
                num_classes=dict(semantic=133),
                continuous=('depth',),
            ),
            dict(type='JointRandomResizedCrop', size=224, label_stride=4, scale=(0.2, 1.0)),
            dict(type='JointRandomFlip', prob=0.5),
            dict(
                type='ProgressiveMasking',
                granularities=('rgb', 'depth', 'semantic'),
                patch_size=16,
                num_visible=98,
                curriculum='RD',
            ),
            dict(type='PackMultiGranular'),
        ],
    ),
)
