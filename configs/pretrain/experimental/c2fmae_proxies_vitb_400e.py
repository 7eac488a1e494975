"""C2FMAE through 8 proxies, ViT-B/16, 400 epochs: an experiment, in no paper.

The cascade reads class tokens and its own mask tokens, never a visible patch
(docs/semanticmim.md); masks follow the paper's curriculum.
"""

_base_ = '../c2fmae_vitb_400e.py'

model = dict(backbone=dict(num_cls_tokens=8), neck=dict(proxies=True))
