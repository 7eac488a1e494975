"""Table VIe, photographs and instance maps under random masks (83.1)."""

_base_ = './table6b_rd.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', granularities=('rgb', 'instance'))

model = dict(
    backbone=dict(granularities=dict(_delete_=True, instance=dict(num_classes=32, stride=4))),
    neck=dict(order=('instance', 'rgb')),
    head=dict(loss_weights=dict(_delete_=True, instance=1.0, rgb=1.0)),
)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(_delete_=True, rgb='train', instance='instance/train'))
)
