"""The run of `make demo`: the mini model on 2,000 scenes, three minutes on two CPU cores."""

_base_ = './c2fmae_mini_scenes.py'

train_dataloader = dict(dataset=dict(data_root='data/demo_scenes'))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=7, T_max=6, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=7)
