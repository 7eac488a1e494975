"""Masks: every sample takes one strategy, drawn by its coefficient (D5 in docs/paper_notes.md)."""

_base_ = '../c2fmae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', blend='draw')
