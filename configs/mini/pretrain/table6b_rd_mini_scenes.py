"""Random masks alone: Table V "+ Cascaded Decoder", Table VIb RD, Table VIe R+I+S, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'
_base_.train_dataloader.dataset.pipeline[-2].curriculum = 'RD'
