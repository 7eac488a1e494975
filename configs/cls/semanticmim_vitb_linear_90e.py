"""Linear probe after SemanticMIM with 8 proxies: MAE's protocol, on the mean of the proxies.

The published code probes the mean of the patches with AdamW instead, and leaves drop path on.
"""

_base_ = './vitb_linear_90e.py'

model = dict(backbone=dict(num_cls_tokens=8))
