"""C2FMAE on your own images and instance masks (docs/own_data.md): any number, no class folders.

Expects images/NAME.jpg and masks/NAME.png under --data-root; the semantic map is made from the
masks (object or not). The encoder is small enough for a laptop. Crops are small, too: objects are
as large in them as in the photographs of configs/det/mask_rcnn_own_data.py, and a step is cheap.
What that gave: docs/own_data.md. The log says how healthy the features are
(docs/watch_run.md): at too high a rate they collapse, and no loss shows it.
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
        img_size=128,
        granularities=dict(semantic=dict(num_classes=2)),
    ),
    neck=dict(dims=64, num_heads=2, depth=1),  # a third of the encoder's width, as in the paper
)
train_dataloader = dict(
    batch_size=16,  # few images: many steps matter more than large ones
    num_workers=2,
    dataset=dict(
        data_root='data/own',
        data_prefix=dict(_delete_=True, rgb='images', instance='masks'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='SemanticFromInstance', class_id=1),
            dict(type='JointRandomResizedCrop', size=128, label_stride=4, scale=(0.05, 0.5)),
            dict(type='JointRandomFlip'),
            dict(type='CanonicalInstances', num_instances=32, rerank=True),
            dict(type='ProgressiveMasking', patch_size=16, num_visible=32),
            dict(type='PackMultiGranular'),
        ],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=20, end=400, T_max=380, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)  # 3,200 steps with 136 images
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=5))
log_processor = dict(window_size=20)
