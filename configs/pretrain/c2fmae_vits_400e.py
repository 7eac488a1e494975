"""C2FMAE, ViT-S/16, 400 epochs on ImageNet-1K (not in the paper)."""

_base_ = './c2fmae_vitb_400e.py'

model = dict(backbone=dict(arch='deit-small'))  # mmpretrain's name of the usual ViT-S
