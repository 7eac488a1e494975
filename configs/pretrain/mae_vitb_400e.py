"""MAE, ViT-B/16, 400 epochs on ImageNet-1K: 82.9 top-1 after fine-tuning in Table I."""

_base_ = [
    '../_base_/models/mae_vitb.py',
    '../_base_/datasets/imagenet_rgb.py',
    '../_base_/schedules/adamw_400e.py',
    '../_base_/pretrain_runtime.py',
]
_base_.custom_hooks.append(dict(type='KeyedRandomnessHook'))  # the model draws the masks

optim_wrapper = dict(
    optimizer=dict(lr=1.5e-4 * 4096 / 256),  # base rate x batch / 256
    # As published: biases and norms do not decay, class and mask token do.
    paramwise_cfg=dict(_delete_=True, norm_decay_mult=0.0, bias_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=4096)
