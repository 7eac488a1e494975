"""MultiMAE in miniature on the data of C2FMAE (Table V, "+ Our Dataset"): scenes have no depth."""

_base_ = '../c2fmae_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', curriculum='RD')

model = dict(
    type='MultiMAE',
    backbone=dict(
        final_norm=False,
        granularities=dict(instance=dict(class_std=0.02), semantic=dict(class_std=0.02)),
    ),
    neck=dict(type='MultiMAEDecoder'),
    head=dict(type='MultiMAEHead'),
)
