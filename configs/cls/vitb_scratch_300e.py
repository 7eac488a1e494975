"""Table I, scratch: training on ImageNet-1K from random weights, MAE's recipe for ViT-B."""

_base_ = ['vitb_ft_100e_ema.py']

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'LinearLR', end=20)
set_fields(_base_, 'CosineAnnealingLR', begin=20, end=300, T_max=280)

optim_wrapper = dict(
    optimizer=dict(lr=1e-4 * 4096 / 256, betas=(0.9, 0.95), weight_decay=0.3),
    paramwise_cfg=dict(layer_decay=1.0),
)
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=4096)
