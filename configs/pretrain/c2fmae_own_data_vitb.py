"""C2FMAE on your own images and masks with ViT-B/16, from a public MAE checkpoint.

As c2fmae_own_data.py, for a GPU, with crops and decoder of the paper:
`--checkpoint mae_pretrain_vit_base.pth` fills the encoder, the embeddings of labels, decoder and
heads start anew (docs/own_data.md). The rate is the paper's by the square root of the batch,
8e-4 * sqrt(16 / 2048).
"""

_base_ = './c2fmae_own_data.py'

from mmc2fmae.engine.overrides import set_fields

set_fields(_base_, 'JointRandomResizedCrop', size=224, scale=(0.2, 1.0))
set_fields(_base_, 'ProgressiveMasking', num_visible=98)
model = dict(
    backbone=dict(arch='base', img_size=224),
    neck=dict(dims=256, num_heads=8, depth=2),
)
optim_wrapper = dict(optimizer=dict(lr=7e-5))
