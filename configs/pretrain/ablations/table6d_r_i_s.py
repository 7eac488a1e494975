"""Table VId, decoder order R, I, S (83.5)."""

_base_ = '../c2fmae_vitb_400e.py'

model = dict(neck=dict(order=('rgb', 'instance', 'semantic')))
