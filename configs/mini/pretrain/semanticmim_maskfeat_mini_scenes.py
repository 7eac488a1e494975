"""SemanticMIM on MaskFeat in miniature: 8 proxies, 80 % masked, as published."""

_base_ = './maskfeat_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', num_visible=12)  # 64 - ceil(0.8 x 64)

model = dict(backbone=dict(proxies=8))
