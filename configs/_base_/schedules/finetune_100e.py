"""Fine-tuning on ImageNet for 100 epochs after 1600 epochs of pre-training (IV-A)."""

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='AdamW',
        lr=5e-4 * 2048 / 256,  # base rate x batch / 256
        betas=(0.9, 0.999),
        weight_decay=0.05,
        fused=True,
    ),
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=0.65),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=2.5e-4,  # 1e-6 at the paper's rate, for every layer's own rate
        by_epoch=True,
        begin=5,
        end=100,
        T_max=95,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=2048)
