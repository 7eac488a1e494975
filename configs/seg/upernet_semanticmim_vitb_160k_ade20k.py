"""UperNet on ADE20K after SemanticMIM with 8 proxies, at the published rate and layer decay.

The crop stays 512, as in the other configs here; the published one is 640.
"""

_base_ = './upernet_vitb_160k_ade20k.py'

model = dict(backbone=dict(num_cls_tokens=8))
optim_wrapper = dict(optimizer=dict(lr=3e-5), paramwise_cfg=dict(layer_decay=0.9))
