"""The paper's pre-training schedule for 400 epochs (IV-A)."""

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='AdamW',
        lr=1e-4 * 2048 / 256,  # base rate x batch / 256
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,
    ),
    constructor='JoinedGroupsConstructor',
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            cls_token=dict(decay_mult=0.0),
            mask_token=dict(decay_mult=0.0),
            granularity_embed=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=40,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.0,
        by_epoch=True,
        begin=40,
        end=400,
        T_max=360,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=400)
auto_scale_lr = dict(base_batch_size=2048)
