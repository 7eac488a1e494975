"""SemanticMIM on BEiT, ViT-B/16, 300 epochs on ImageNet-1K, settings as published.

One proxy, 60 % of the patches masked: the ratio differs from the baseline's, see `..._equal`.
"""

_base_ = './beit_vitb_300e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', num_visible=78)  # 196 - ceil(0.6 x 196)

model = dict(backbone=dict(proxies=1))
