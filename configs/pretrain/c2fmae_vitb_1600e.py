"""C2FMAE, ViT-B/16, 1600 epochs on ImageNet-1K: 84.2 top-1 after fine-tuning in Table I."""

_base_ = './c2fmae_vitb_400e.py'

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
        end=1600,
        T_max=1560,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=1600)
