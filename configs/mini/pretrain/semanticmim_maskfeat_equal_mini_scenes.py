"""SemanticMIM on MaskFeat in miniature: one proxy and the baseline's 40 % masked."""

_base_ = './maskfeat_mini_scenes.py'

model = dict(backbone=dict(proxies=1))
