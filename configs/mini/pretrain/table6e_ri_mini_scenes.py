"""Table VIe, photographs and instance maps under random masks, in miniature."""

_base_ = './table6b_rd_mini_scenes.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'ProgressiveMasking', granularities=('rgb', 'instance'))

model = dict(
    backbone=dict(granularities=dict(_delete_=True, instance=dict(num_classes=8, stride=2))),
    neck=dict(order=('instance', 'rgb')),
)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(_delete_=True, rgb='train', instance='instance/train'))
)
