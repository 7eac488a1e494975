"""Linear segmentation on Pascal VOC: one 1 x 1 convolution on frozen features of block 8.

Block 8 rather than 12, because SemanticMIM's pre-training gives the patches of its last block no
gradient. 25 epochs of 10,582 images in batches of 60 on one GPU. Unlike SemanticMIM's probe, the
loss is taken at 448 x 448 and val is scored at the masks' own sizes.
"""

_base_ = [
    '../_base_/models/linear_vit.py',
    '../_base_/datasets/voc2012.py',
    '../_base_/finetune_runtime.py',
]

default_scope = 'mmseg'
visualizer = dict(type='SegLocalVisualizer', name='visualizer')

epoch = 177  # iterations
model = dict(
    data_preprocessor=dict(size=(448, 448)),
    backbone=dict(img_size=448, out_indices=[7], final_norm=False),
    decode_head=dict(num_classes=21),
    test_cfg=dict(_delete_=True, mode='whole'),
)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='StepLR', step_size=10 * epoch, gamma=0.1, by_epoch=False, end=25 * epoch)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=25 * epoch, val_interval=5 * epoch)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(base_batch_size=60)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=5 * epoch),
)
log_processor = dict(by_epoch=False)
