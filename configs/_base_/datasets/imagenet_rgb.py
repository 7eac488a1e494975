"""ImageNet-1K photographs alone, for MAE."""

_base_ = 'imagenet_multi_granular.py'

train_dataloader = dict(
    batch_size=512,  # x 8 GPUs = 4096
    dataset=dict(
        data_prefix=dict(_delete_=True, rgb='train'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='JointRandomResizedCrop', size=224, scale=(0.2, 1.0)),
            dict(type='JointRandomFlip', prob=0.5),
            dict(type='PackMultiGranular'),
        ],
    ),
)
