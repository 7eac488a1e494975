"""Table VId, decoder without cross-attention, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

model = dict(neck=dict(cross_attention=False))
