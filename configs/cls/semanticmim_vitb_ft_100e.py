"""Fine-tuning on ImageNet-1K after SemanticMIM with 8 proxies (HOG targets), 100 epochs.

Twice the rate of the C2FMAE recipe and 20 epochs of warm-up, as published (8e-3 for a batch of
2048). The published ColorJitter is left out.
"""

_base_ = './vitb_ft_100e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'LinearLR', end=20)
set_fields(_base_, 'CosineAnnealingLR', begin=20, T_max=80)
model = dict(backbone=dict(num_cls_tokens=8))
optim_wrapper = dict(optimizer=dict(lr=8e-3))
