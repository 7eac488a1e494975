"""Masks: a sample takes one strategy, drawn by its coefficient (D5), in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', blend='draw')
