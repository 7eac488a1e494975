"""C2FMAE, ViT-H/16, 400 epochs on ImageNet-1K (not in the paper)."""

_base_ = './c2fmae_vitb_400e.py'

model = dict(backbone=dict(arch='huge'))
