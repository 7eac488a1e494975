"""Masks: coefficients of at most 0.5 in the middle, where top-k blends (D6), in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', curriculum='SG-IG-RD-overlap')
