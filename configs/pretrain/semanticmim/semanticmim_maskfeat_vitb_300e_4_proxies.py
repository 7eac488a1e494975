"""SemanticMIM on MaskFeat with 4 proxies in place of 8: the number-of-proxies ablation."""

_base_ = './semanticmim_maskfeat_vitb_300e.py'

model = dict(backbone=dict(proxies=4))
