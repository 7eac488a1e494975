"""The four robustness sets of the paper's Table IV, for a model of ImageNet-1K's 1000 classes.

Folders are below --data-root. Sets without a pipeline use that of the model's test data.
"""

robustness = dict(
    classes='imagenet',
    sets={
        'imagenet-a': dict(
            kind='folder',
            protocol='in-a@1',
            folder='imagenet-a',
            subset='imagenet-a',
            images=7500,
        ),
        'imagenet-r': dict(
            kind='folder',
            protocol='in-r@1',
            folder='imagenet-r',
            subset='imagenet-r',
            images=30000,
        ),
        'imagenet-sketch': dict(
            kind='folder', protocol='in-sketch@1', folder='imagenet-sketch', images=50889
        ),
        'imagenet-c': dict(
            kind='corruptions',
            protocol='in-c@1',
            folder='imagenet-c',
            images=50000,
            alexnet=True,
            pipeline=[  # the files are 224 x 224 already: cropped, never resized
                dict(type='LoadImageFromFile', imdecode_backend='pillow'),
                dict(type='CenterCrop', crop_size=224),
                dict(type='PackInputs'),
            ],
        ),
    },
    score=dict(
        protocol='in-robustness@1',
        top1=['imagenet-a', 'imagenet-r', 'imagenet-sketch'],
        corruptions='imagenet-c',
    ),
)
