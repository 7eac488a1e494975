"""Linear segmentation on ADE20K: one 1 x 1 convolution on the frozen, normalised last block."""

_base_ = [
    '../_base_/models/linear_vit.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/finetune_runtime.py',
]

default_scope = 'mmseg'
visualizer = dict(type='SegLocalVisualizer', name='visualizer')

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4, fused=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=40_000),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40_000, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
)
log_processor = dict(by_epoch=False)
