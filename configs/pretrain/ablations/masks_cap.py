"""Masks: instance-guided masks hide at most 90 % of the objects (D4)."""

_base_ = '../c2fmae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', object_cap=0.9)
