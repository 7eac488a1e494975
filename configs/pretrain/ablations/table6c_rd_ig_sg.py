"""Table VIc, masking order RD, IG, SG (83.5)."""

_base_ = '../c2fmae_vitb_400e.py'
_base_.train_dataloader.dataset.pipeline[-2].curriculum = 'RD-IG-SG'
