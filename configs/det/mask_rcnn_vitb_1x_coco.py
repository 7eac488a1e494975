"""Table II, COCO: Mask R-CNN with ViT-B/16, 12 epochs, batch 16 = 8 GPUs x 2 (docs/detection.md).

The learning rate is that of CAE's protocol; the paper prints 3e-3 (D13).
"""

_base_ = [
    '../_base_/models/mask_rcnn_vit.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/finetune_runtime.py',
]

default_scope = 'mmdet'
visualizer = dict(type='DetLocalVisualizer', name='visualizer')

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=3e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=0.75),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=500),
    dict(type='MultiStepLR', milestones=[9, 11], gamma=0.1, end=12),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(base_batch_size=16)
