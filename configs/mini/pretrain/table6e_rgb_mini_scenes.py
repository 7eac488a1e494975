"""Table VIe, photographs alone under random masks, in miniature."""

_base_ = './table6b_rd_mini_scenes.py'
_base_.train_dataloader.dataset.pipeline[-2].granularities = ('rgb',)

model = dict(
    backbone=dict(granularities=dict(_delete_=True)),
    neck=dict(order=('rgb',)),
)
train_dataloader = dict(dataset=dict(data_prefix=dict(_delete_=True, rgb='train')))
