"""Table VIb, instance-guided masks alone, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', curriculum='IG')
