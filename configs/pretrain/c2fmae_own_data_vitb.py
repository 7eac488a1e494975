"""C2FMAE on your own images and masks with ViT-B/16, from a public MAE checkpoint.

As c2fmae_own_data.py, for a GPU: `--checkpoint mae_pretrain_vit_base.pth` fills the encoder, the
embeddings of labels, decoder and heads start anew (docs/own_data.md). The rate is the paper's by
the square root of the batch, 8e-4 * sqrt(8 / 2048).
"""

_base_ = './c2fmae_own_data.py'

model = dict(backbone=dict(arch='base'), neck=dict(dims=256, num_heads=8))
optim_wrapper = dict(optimizer=dict(lr=5e-5))
