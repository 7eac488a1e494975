"""UperNet on the built-in scenes: the recipe of configs/seg/, in miniature."""

_base_ = ['../seg/upernet_own_data.py']

data_root = 'data/scenes/ade'
classes = (
    'beetle', 'bird', 'boat', 'bus', 'butterfly', 'car', 'fish', 'house', 'kite', 'turtle',
    'brick', 'grass', 'sand', 'sky', 'tiles', 'water',
)  # fmt: skip
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        _delete_=True,
        type='PlainViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        drop_path_rate=0.1,
        out_type='featmap',
        out_indices=[1, 2, 3, 5],
        final_norm=False,
    ),
    neck=dict(rescales=[2, 1, 0.5, 0.25]),  # patches of 8 pixels to strides 4, 8, 16, 32
    decode_head=dict(channels=64, num_classes=16),
    auxiliary_head=dict(num_classes=16),
    test_cfg=dict(mode='whole'),
)
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=classes),
    img_suffix='.jpg',
    reduce_zero_label=True,
)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        indices=300,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ],
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=20,
    dataset=dict(
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='PackSegInputs'),
        ],
        **dataset,
    ),
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay=0.75))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=50),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=50, end=400),
]
train_cfg = dict(max_iters=400, val_interval=200)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=200))
