"""MultiMAE with a ViT-B/16 encoder on photographs, depth and semantic maps (arXiv 2204.01678)."""

model = dict(
    type='MultiMAE',
    data_preprocessor=dict(  # ImageNet statistics
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='MultiGranularViT',
        arch='base',
        img_size=224,
        patch_size=16,
        final_norm=False,
        granularities=dict(
            depth=dict(stride=1),
            semantic=dict(num_classes=133, stride=4, class_std=0.02),
        ),
    ),
    neck=dict(type='MultiMAEDecoder', dims=256, num_heads=8, depth=2),
    head=dict(type='MultiMAEHead'),
)
