"""Masks: the instance nearest to the centre of the image guides alone (D4)."""

_base_ = '../c2fmae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', max_instances=1, prefer='central')
