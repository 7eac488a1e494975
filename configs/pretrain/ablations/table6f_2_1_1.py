"""Table VIf, weights of S, I, R 2, 1, 1 (83.5)."""

_base_ = '../c2fmae_vitb_400e.py'

model = dict(head=dict(loss_weights=dict(semantic=2.0)))
