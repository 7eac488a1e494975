"""Table VIa, 196 input tokens (83.5)."""

_base_ = '../c2fmae_vitb_400e.py'
_base_.train_dataloader.dataset.pipeline[-2].num_visible = 196
