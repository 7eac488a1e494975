"""C2FMAE in miniature on the built-in scenes: minutes on two CPU cores (tools/make_scenes.py)."""

_base_ = ['../_base_/pretrain_runtime.py']

granularities = dict(
    instance=dict(num_classes=8, stride=2),
    semantic=dict(num_classes=16, stride=2),
)
model = dict(
    type='C2FMAE',
    backbone=dict(
        type='MultiGranularViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        granularities=granularities,
    ),
    # A third of the encoder's width, a block a stage where the encoder has half of the paper's.
    neck=dict(type='CascadedDecoder', dims=64, num_heads=2, depth=1),
    head=dict(type='MultiGranularHead'),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='MultiGranularDataset',
        data_root='data/scenes',
        data_prefix=dict(rgb='train', instance='instance/train', semantic='semantic/train'),
        pipeline=[
            dict(type='LoadMultiGranular', num_classes=dict(semantic=16)),
            dict(type='JointRandomResizedCrop', size=64, label_stride=2, scale=(0.4, 1.0)),
            dict(type='JointRandomFlip'),
            dict(type='CanonicalInstances', num_instances=8),
            dict(type='ProgressiveMasking', patch_size=8, num_visible=32),
            dict(type='PackMultiGranular'),
        ],
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    constructor='JoinedGroupsConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=6, T_max=5, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=6)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=25))
log_processor = dict(window_size=25)
