"""Fine-tuning with 1 % of ImageNet's labels, the same everywhere (not in the paper)."""

_base_ = ['vitb_ft_100e.py']

train_dataloader = dict(batch_size=64, dataset=dict(label_share=0.01))
optim_wrapper = dict(optimizer=dict(lr=5e-4 * 512 / 256))
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(val_interval=10)
