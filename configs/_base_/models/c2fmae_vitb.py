"""C2FMAE with a ViT-B/16 encoder (paper III and IV-A)."""

model = dict(
    type='C2FMAE',
    data_preprocessor=dict(  # ImageNet statistics
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='MultiGranularViT',
        arch='base',
        img_size=224,
        patch_size=16,
        granularities=dict(
            instance=dict(num_classes=32, stride=4),
            semantic=dict(num_classes=133, stride=4),
        ),
    ),
    neck=dict(
        type='CascadedDecoder',
        order=('semantic', 'instance', 'rgb'),
        dims=256,
        num_heads=8,
        depth=2,
        cross_attention=True,
    ),
    head=dict(
        type='MultiGranularHead',
        norm_pix=True,
        loss_weights=dict(semantic=1.0, instance=1.0, rgb=1.0),
    ),
)
