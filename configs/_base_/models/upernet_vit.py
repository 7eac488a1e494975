"""UperNet on a plain ViT-B (paper IV-A, D14): a pyramid of four blocks, auxiliary FCN head."""

_base_ = 'mmseg::_base_/models/upernet_mae.py'

dims, num_classes = 768, 150
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        _delete_=True,
        type='PlainViT',
        arch='base',
        img_size=512,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='featmap',
        out_indices=[3, 5, 7, 11],
        final_norm=False,
    ),
    neck=dict(
        embed_dim=dims,
        rescales=[4, 2, 1, 0.5],  # strides 4, 8, 16, 32
        norm_cfg=dict(type='SyncBN', requires_grad=True),
    ),
    decode_head=dict(in_channels=[dims] * 4, channels=dims, num_classes=num_classes),
    auxiliary_head=dict(in_channels=dims, num_classes=num_classes),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
