"""MAE on your own photographs, without masks (docs/first_number.md): any number, any folders.

All photographs below --data-root are used: give the folder of the training photographs. The encoder
is small enough for a laptop; the rate is measured for C2FMAE at this batch (1.5e-3 makes features
collapse, 1.5e-4 does not), and near 2.4e-3 * sqrt(8 / 4096), MAE's by the square root of the batch.
"""

_base_ = './mae_vitb_400e.py'
_base_.custom_imports.imports.append('mmc2fmae.probes')
_base_.custom_hooks.append(dict(type='HealthProbeHook'))

model = dict(
    backbone=dict(arch='deit-tiny'),
    neck=dict(embed_dim=192, decoder_embed_dim=128, decoder_depth=4, decoder_num_heads=4),
)
train_dataloader = dict(
    batch_size=8,  # few photographs: many steps matter more than large ones
    num_workers=2,
    dataset=dict(data_root='data/own', data_prefix=dict(rgb='')),
)
optim_wrapper = dict(optimizer=dict(lr=1.5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, end=100, T_max=90, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=10))
log_processor = dict(window_size=20)
