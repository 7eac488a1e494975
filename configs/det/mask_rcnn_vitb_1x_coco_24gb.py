"""The COCO recipe on one GPU of 24 GB: 4 images at a time, 4 times a step (batch 16).

Blocks are computed again in the backward pass instead of being kept; the gradients are the same.
"""

_base_ = './mask_rcnn_vitb_1x_coco.py'

accumulate = 4
model = dict(backbone=dict(checkpointing=True))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(accumulative_counts=accumulate)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=500 * accumulate),  # 500 steps
    dict(type='MultiStepLR', milestones=[9, 11], gamma=0.1, end=12),
]
