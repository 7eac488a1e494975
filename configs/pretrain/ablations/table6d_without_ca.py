"""Table VId, decoder without cross-attention (83.2)."""

_base_ = '../c2fmae_vitb_400e.py'

model = dict(neck=dict(cross_attention=False))
