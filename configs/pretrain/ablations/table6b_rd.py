"""Random masks alone: Table V "+ Cascaded Decoder", Table VIb RD, Table VIe R+I+S (83.3)."""

_base_ = '../c2fmae_vitb_400e.py'
_base_.train_dataloader.dataset.pipeline[-2].curriculum = 'RD'
