"""ImageNet-1K with depth and semantic maps beside it, for MultiMAE (layout: docs/baselines.md)."""

train_dataloader = dict(
    batch_size=256,  # x 8 GPUs = 2048
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='MultiGranularDataset',
        data_root='data/imagenet',
        data_prefix=dict(rgb='train', depth='depth/train', semantic='semantic/train'),
        on_error='raise',
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
