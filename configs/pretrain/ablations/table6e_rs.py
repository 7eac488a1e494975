"""Table VIe, photographs and semantic maps under random masks (83.2)."""

_base_ = './table6b_rd.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', granularities=('rgb', 'semantic'))

model = dict(
    backbone=dict(granularities=dict(_delete_=True, semantic=dict(num_classes=133, stride=4))),
    neck=dict(order=('semantic', 'rgb')),
    head=dict(loss_weights=dict(_delete_=True, semantic=1.0, rgb=1.0)),
)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(_delete_=True, rgb='train', semantic='semantic/train'))
)
