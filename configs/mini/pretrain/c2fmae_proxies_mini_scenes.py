"""C2FMAE through 8 proxies in miniature: the cascade sees no visible patch."""

_base_ = '../c2fmae_mini_scenes.py'

model = dict(backbone=dict(num_cls_tokens=8), neck=dict(proxies=True))
