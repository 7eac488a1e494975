"""Random masks alone: Table V "+ Cascaded Decoder", Table VIb RD, Table VIe R+I+S (83.3)."""

_base_ = '../c2fmae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', curriculum='RD')
