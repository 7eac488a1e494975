"""Table VId, decoder order R, I, S, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

model = dict(neck=dict(order=('rgb', 'instance', 'semantic')))
