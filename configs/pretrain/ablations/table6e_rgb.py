"""Table VIe, photographs alone under random masks (82.9)."""

_base_ = './table6b_rd.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', granularities=('rgb',))

model = dict(
    backbone=dict(granularities=dict(_delete_=True)),
    neck=dict(order=('rgb',)),
    head=dict(loss_weights=dict(_delete_=True, rgb=1.0)),
)
train_dataloader = dict(dataset=dict(data_prefix=dict(_delete_=True, rgb='train')))
