"""Table VIc, masking order RD, IG, SG (83.5)."""

_base_ = '../c2fmae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', curriculum='RD-IG-SG')
