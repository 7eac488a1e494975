"""Table I: fine-tuning on ImageNet-1K for 100 epochs after 400 epochs of pre-training."""

_base_ = ['vitb_ft_100e.py']

optim_wrapper = dict(optimizer=dict(lr=1e-3 * 2048 / 256), paramwise_cfg=dict(layer_decay=0.7))
