"""Table VIa, 196 input tokens, in miniature: 64 of 192."""

_base_ = '../c2fmae_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', num_visible=64)
