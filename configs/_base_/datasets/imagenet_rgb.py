"""ImageNet-1K photographs alone, for MAE."""

train_dataloader = dict(
    batch_size=512,  # x 8 GPUs = 4096
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='MultiGranularDataset',
        data_root='data/imagenet',
        data_prefix=dict(rgb='train'),
        on_error='raise',
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='JointRandomResizedCrop', size=224, scale=(0.2, 1.0)),
            dict(type='JointRandomFlip', prob=0.5),
            dict(type='PackMultiGranular'),
        ],
    ),
)
