"""Masks: instance-guided masks hide at most 90 % of the objects (D4), in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', object_cap=0.9)
