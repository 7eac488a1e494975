"""MAE on your own photographs with the mini encoder: crops and steps of the mini C2FMAE there."""

_base_ = './mae_mini_scenes.py'
_base_.custom_imports.imports.append('mmc2fmae.probes')
_base_.custom_hooks.append(dict(type='HealthProbeHook', every=100))

train_dataloader = dict(
    dataset=dict(
        data_root='data/own',
        ann_file='instances_train.txt',
        data_prefix=dict(rgb='images'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='JointRandomResizedCrop', size=64, scale=(0.05, 0.5)),
            dict(type='JointRandomFlip'),
            dict(type='PackMultiGranular'),
        ],
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=20, end=400, T_max=380, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)  # 3,200 steps with 136 photographs
