"""Boxes, masks and semantic maps of the built-in scenes by one model: both recipes in one.

The detector and the steps of det.py; the semantic head reads the detector's feature maps.
"""

_base_ = ['./det.py']

custom_imports = dict(
    imports=[
        'mmc2fmae',
        'mmc2fmae.models.detector_with_semantics',
        'mmc2fmae.evaluation.semantic_metric',
    ],
    allow_failed_imports=False,
)

from mmc2fmae.engine.overrides import set_fields

semantic_classes = (
    'beetle', 'bird', 'boat', 'bus', 'butterfly', 'car', 'fish', 'house', 'kite', 'turtle',
    'brick', 'grass', 'sand', 'sky', 'tiles', 'water',
)  # fmt: skip
model = dict(
    type='DetectorWithSemantics',
    data_preprocessor=dict(pad_seg=True),
    semantic_head=dict(
        type='PanopticFPNHead',
        num_things_classes=0,
        num_stuff_classes=len(semantic_classes),
        in_channels=96,
        inner_channels=64,
        start_level=0,
        end_level=4,
        norm_cfg=dict(type='GN', num_groups=16),
        loss_seg=dict(type='CrossEntropyLoss', ignore_index=255, loss_weight=1.0),
    ),
)
set_fields(_base_, 'LoadAnnotations', with_seg=True, imdecode_backend='pillow')
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(seg='semantic/train/'), metainfo=dict(semantic_classes=semantic_classes)
    )
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(seg='semantic/val/'), metainfo=dict(semantic_classes=semantic_classes)
    )
)
test_dataloader = val_dataloader
val_evaluator = [_base_.val_evaluator, dict(type='SemanticMapMetric')]
test_evaluator = val_evaluator
