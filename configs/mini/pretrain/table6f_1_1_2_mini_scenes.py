"""Table VIf, weights of S, I, R 1, 1, 2, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

model = dict(head=dict(loss_weights=dict(rgb=2.0)))
