"""SemanticMIM on MaskFeat, ViT-B/16, 300 epochs on ImageNet-1K, settings as published.

8 proxies, 80 % of the patches masked: both differ from the baseline's, see the config `..._equal`.
"""

_base_ = './maskfeat_vitb_300e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', num_visible=39)  # 196 - ceil(0.8 x 196)

model = dict(backbone=dict(proxies=8))
