"""C2FMAE, ViT-B/16, 400 epochs on ImageNet-1K: 83.7 top-1 after fine-tuning in Table I."""

_base_ = [
    '../_base_/models/c2fmae_vitb.py',
    '../_base_/datasets/imagenet_multi_granular.py',
    '../_base_/schedules/adamw_400e.py',
    '../_base_/pretrain_runtime.py',
]
