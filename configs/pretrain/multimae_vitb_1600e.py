"""MultiMAE on photographs, depth and semantic maps, 1600 epochs: 83.3 top-1 in Table I."""

_base_ = './multimae_vitb_400e.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'CosineAnnealingLR', end=1600, T_max=1560)

train_cfg = dict(max_epochs=1600)
