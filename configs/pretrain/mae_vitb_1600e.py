"""MAE, ViT-B/16, 1600 epochs on ImageNet-1K: 83.6 top-1 after fine-tuning in Table I."""

_base_ = './mae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'CosineAnnealingLR', end=1600, T_max=1560)

train_cfg = dict(max_epochs=1600)
