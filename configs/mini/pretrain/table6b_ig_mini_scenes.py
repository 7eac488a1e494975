"""Table VIb, instance-guided masks alone, in miniature."""

_base_ = '../c2fmae_mini_scenes.py'
_base_.train_dataloader.dataset.pipeline[-2].curriculum = 'IG'
