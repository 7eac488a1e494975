"""Table VIf, weights of S, I, R 1, 1, 2 (83.7)."""

_base_ = '../c2fmae_vitb_400e.py'

model = dict(head=dict(loss_weights=dict(rgb=2.0)))
