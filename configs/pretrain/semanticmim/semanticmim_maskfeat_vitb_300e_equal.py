"""SemanticMIM on MaskFeat with the baseline's mask ratio (40 %) and one proxy: not published.

It differs from maskfeat_vitb_300e.py in nothing but the two phases.
"""

_base_ = './maskfeat_vitb_300e.py'

model = dict(backbone=dict(proxies=1))
