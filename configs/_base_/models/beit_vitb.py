"""BEiT with a ViT-B/16 encoder (arXiv 2106.08254), as SemanticMIM's baseline has it."""

model = dict(
    type='SemanticMIM',
    data_preprocessor=dict(  # ImageNet statistics
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='ProxyViT',
        arch='base',
        img_size=224,
        patch_size=16,
        proxies=0,
        drop_path_rate=0.1,
        layer_cfgs=dict(layer_scale_init_value=0.1),
        depth_scaled_init=True,
    ),
    target_generator=dict(
        type='DiscreteTokenTarget',
        weights='checkpoints/dalle_encoder.pth',  # docs/semanticmim.md says how to get it
        vocab_size=8192,
    ),
)
