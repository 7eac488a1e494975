"""C2FMAE on your own images and instance masks (docs/own_data.md): any number, no class folders.

Expects images/NAME.jpg and masks/NAME.png under --data-root; the semantic map is made from the
masks (object or not). The encoder is small enough for a laptop. The log says how healthy the
features are (docs/watch_run.md): at 1.5e-3 they collapse, and no loss shows it.
"""

_base_ = [
    '../_base_/models/c2fmae_vitb.py',
    '../_base_/datasets/imagenet_multi_granular.py',
    '../_base_/schedules/adamw_400e.py',
    '../_base_/pretrain_runtime.py',
]
_base_.custom_imports.imports.append('mmc2fmae.probes')
_base_.custom_hooks.append(dict(type='HealthProbeHook'))

model = dict(
    backbone=dict(
        arch='deit-tiny',
        granularities=dict(semantic=dict(num_classes=2)),
    ),
    neck=dict(dims=64, num_heads=2),  # a third of the encoder's width, as in the paper
)
train_dataloader = dict(
    batch_size=8,  # few images: many steps matter more than large ones
    num_workers=2,
    dataset=dict(
        data_root='data/own',
        data_prefix=dict(_delete_=True, rgb='images', instance='masks'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='SemanticFromInstance', class_id=1),
            dict(type='JointRandomResizedCrop', size=224, label_stride=4, scale=(0.2, 1.0)),
            dict(type='JointRandomFlip'),
            dict(type='CanonicalInstances', num_instances=32, rerank=True),
            dict(type='ProgressiveMasking', patch_size=16, num_visible=98),
            dict(type='PackMultiGranular'),
        ],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1.5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=20, end=200, T_max=180, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=10))
log_processor = dict(window_size=20)
