"""Table VIf, weights of S, I, R 2, 1, 1, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

model = dict(head=dict(loss_weights=dict(semantic=2.0)))
