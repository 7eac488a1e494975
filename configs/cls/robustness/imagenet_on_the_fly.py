"""As imagenet.py, but validation images are corrupted while they are read: not ImageNet-C.

For those without the 76 GB of ImageNet-C; needs the extra 'corruptions'. The model's own test
pipeline resizes and crops, then the image is corrupted.
"""

_base_ = 'imagenet.py'

robustness = dict(
    sets={
        'imagenet-c': dict(
            _delete_=True,
            kind='on_the_fly',
            protocol='in-c-on-the-fly@1',
            folder='imagenet/val',
            images=50000,
            alexnet=True,
        )
    },
    score=dict(protocol='in-robustness-on-the-fly@1'),
)
