"""ImageNet-1K photographs alone with single random patches masked, for MaskFeat and BEiT."""

_base_ = 'imagenet_multi_granular.py'

train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, rgb='train'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='JointRandomResizedCrop', size=224, scale=(0.5, 1.0)),
            dict(type='JointRandomFlip', prob=0.5),
            dict(
                type='ProgressiveMasking',
                granularities=('rgb',),
                patch_size=16,
                num_visible=117,  # 196 - ceil(0.4 x 196)
                curriculum='RD',
            ),
            dict(type='PackMultiGranular'),
        ],
    ),
)
