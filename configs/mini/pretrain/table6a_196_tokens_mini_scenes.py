"""Table VIa, 196 input tokens, in miniature: 64 of 192."""

_base_ = '../c2fmae_mini_scenes.py'
_base_.train_dataloader.dataset.pipeline[-2].num_visible = 64
