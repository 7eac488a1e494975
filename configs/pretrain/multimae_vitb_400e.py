"""MultiMAE on photographs, depth and semantic maps, 400 epochs: 82.7 top-1 in Tables I and V."""

_base_ = [
    '../_base_/models/multimae_vitb.py',
    '../_base_/datasets/imagenet_depth_semantic.py',
    '../_base_/schedules/adamw_400e.py',
    '../_base_/pretrain_runtime.py',
]

# As published: the decoders' embeddings of the granularities decay.
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(granularity_embed=dict(decay_mult=1.0))),
)
