"""C2FMAE on your own photographs and masks with the mini encoder (docs/own_data.md).

Crops are small: at 64 pixels objects are as large in them as in the photographs of
configs/mini/det_own_data.py. The log says how healthy the features are.
"""

_base_ = '../c2fmae_mini_scenes.py'
_base_.custom_imports.imports.append('mmc2fmae.probes')
_base_.custom_hooks.append(dict(type='HealthProbeHook', every=100))

model = dict(
    backbone=dict(
        granularities=dict(instance=dict(num_classes=32), semantic=dict(num_classes=2)),
    ),
)
train_dataloader = dict(
    dataset=dict(
        data_root='data/own',
        ann_file='instances_train.txt',
        data_prefix=dict(_delete_=True, rgb='images', instance='masks'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='SemanticFromInstance', class_id=1),
            dict(type='JointRandomResizedCrop', size=64, label_stride=2, scale=(0.05, 0.5)),
            dict(type='JointRandomFlip'),
            dict(type='CanonicalInstances', num_instances=32, rerank=True),
            dict(type='ProgressiveMasking', patch_size=8, num_visible=32),
            dict(type='PackMultiGranular'),
        ],
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=20, end=400, T_max=380, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)  # 3,200 steps with 136 photographs
