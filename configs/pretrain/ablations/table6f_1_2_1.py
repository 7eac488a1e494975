"""Table VIf, weights of S, I, R 1, 2, 1 (83.4)."""

_base_ = '../c2fmae_vitb_400e.py'

model = dict(head=dict(loss_weights=dict(instance=2.0)))
