"""Table VId, parallel decoder, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

model = dict(neck=dict(type='ParallelDecoder'))
