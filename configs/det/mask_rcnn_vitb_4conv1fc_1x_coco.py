"""The COCO recipe with the region head of 4 convolutions and 1 linear layer (D13)."""

_base_ = './mask_rcnn_vitb_1x_coco.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            type='Shared4Conv1FCBBoxHead',
            conv_out_channels=256,
            norm_cfg=dict(type='mmpretrain.LN2d', eps=1e-6),
        ),
    ),
)
