"""MaskFeat in miniature: encoder, data, epochs and batch of the mini C2FMAE, 40 % masked."""

_base_ = '../c2fmae_mini_scenes.py'

model = dict(
    _delete_=True,
    type='SemanticMIM',
    backbone=dict(
        type='ProxyViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        proxies=0,
        init_std=0.07,  # as large as MAE's at this width (docs/semanticmim.md)
        sincos_positions=True,
    ),
    # Two by two cells a patch and a window of a patch, as at 224 pixels.
    target_generator=dict(type='HOGTarget', pool=4, gaussian_window=8),
)
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, rgb='train'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='JointRandomResizedCrop', size=64, scale=(0.4, 1.0)),
            dict(type='JointRandomFlip'),
            dict(
                type='ProgressiveMasking',
                granularities=('rgb',),
                patch_size=8,
                num_visible=38,  # 64 - ceil(0.4 x 64)
                curriculum='RD',
            ),
            dict(type='PackMultiGranular'),
        ],
    ),
)
