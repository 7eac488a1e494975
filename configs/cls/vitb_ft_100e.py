"""Table I: fine-tuning on ImageNet-1K for 100 epochs after 1600 epochs of pre-training."""

_base_ = [
    '../_base_/models/vitb_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/finetune_100e.py',
    '../_base_/finetune_runtime.py',
]
default_scope = 'mmpretrain'
