"""C2FMAE on your own photographs with instance and semantic maps (docs/convert_data.md).

Expects the layout of docs/data.md under --data-root and COCO's 133 classes; another number of
classes goes into model.backbone.granularities.semantic and into LoadMultiGranular.
"""

_base_ = 'c2fmae_own_data.py'

model = dict(backbone=dict(granularities=dict(semantic=dict(num_classes=133))))
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(
            _delete_=True, rgb='train', instance='instance/train', semantic='semantic/train'
        ),
        pipeline=[
            dict(type='LoadMultiGranular', num_classes=dict(semantic=133)),
            dict(type='JointRandomResizedCrop', size=128, label_stride=4, scale=(0.05, 0.5)),
            dict(type='JointRandomFlip'),
            dict(type='CanonicalInstances', num_instances=32),
            dict(type='ProgressiveMasking', patch_size=16, num_visible=32),
            dict(type='PackMultiGranular'),
        ],
    ),
)
