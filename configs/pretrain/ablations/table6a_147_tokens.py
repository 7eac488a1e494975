"""Table VIa, 147 input tokens (83.7)."""

_base_ = '../c2fmae_vitb_400e.py'
_base_.train_dataloader.dataset.pipeline[-2].num_visible = 147
