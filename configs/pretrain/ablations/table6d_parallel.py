"""Table VId, parallel decoder (83.3)."""

_base_ = '../c2fmae_vitb_400e.py'

model = dict(neck=dict(type='ParallelDecoder'))
