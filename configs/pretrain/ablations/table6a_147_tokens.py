"""Table VIa, 147 input tokens (83.7)."""

_base_ = '../c2fmae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', num_visible=147)
