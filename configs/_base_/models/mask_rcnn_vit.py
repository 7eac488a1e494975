"""Mask R-CNN on a plain ViT-B (paper IV-A, D13): mmdet's heads on a pyramid of four blocks."""

_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

dims = 768
model = dict(
    backbone=dict(
        _delete_=True,
        type='PlainViT',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.2,
        out_type='featmap',
        out_indices=[3, 5, 7, 11],
        final_norm=False,
    ),
    neck=[
        dict(
            type='mmseg.Feature2Pyramid',  # strides 4, 8, 16, 32
            embed_dim=dims,
            rescales=[4, 2, 1, 0.5],
            norm_cfg=dict(type='mmpretrain.LN2d', eps=1e-6),
        ),
        dict(type='FPN', in_channels=[dims] * 4, out_channels=256, num_outs=5),
        dict(type='FullPrecision'),
    ],
)
