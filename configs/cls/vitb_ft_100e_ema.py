"""Fine-tuning on ImageNet-1K, evaluated with an average of the weights (not in the paper)."""

_base_ = ['vitb_ft_100e.py']

custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=1e-4)]
