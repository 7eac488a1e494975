"""Table VIe, photographs and semantic maps under random masks, in miniature."""

_base_ = './table6b_rd_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', granularities=('rgb', 'semantic'))

model = dict(
    backbone=dict(granularities=dict(_delete_=True, semantic=dict(num_classes=16, stride=2))),
    neck=dict(order=('semantic', 'rgb')),
)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(_delete_=True, rgb='train', semantic='semantic/train'))
)
