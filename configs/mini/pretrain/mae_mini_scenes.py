"""MAE in miniature: encoder, data, epochs and batch of the mini C2FMAE."""

_base_ = '../c2fmae_mini_scenes.py'
_base_.custom_hooks.append(dict(type='KeyedRandomnessHook'))  # the model draws the masks

model = dict(
    _delete_=True,
    type='MAE',
    data_preprocessor=dict(type='RgbPreprocessor'),
    backbone=dict(
        type='MAEViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        mask_ratio=0.75,
    ),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=64,
        patch_size=8,
        embed_dim=192,
        decoder_embed_dim=128,
        decoder_depth=4,
        decoder_num_heads=4,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=8,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, rgb='train'),
        pipeline=[
            dict(type='LoadMultiGranular'),
            dict(type='JointRandomResizedCrop', size=64, scale=(0.4, 1.0)),
            dict(type='JointRandomFlip'),
            dict(type='PackMultiGranular'),
        ],
    ),
)
