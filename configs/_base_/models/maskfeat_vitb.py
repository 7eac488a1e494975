"""MaskFeat with a ViT-B/16 encoder (arXiv 2112.09133), as SemanticMIM's baseline has it."""

model = dict(
    type='SemanticMIM',
    data_preprocessor=dict(  # ImageNet statistics
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(type='ProxyViT', arch='base', img_size=224, patch_size=16, proxies=0),
    target_generator=dict(type='HOGTarget', nbins=9, pool=8, gaussian_window=16),
)
