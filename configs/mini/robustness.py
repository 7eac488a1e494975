"""The four robustness sets of Table IV in miniature: other scenes than those trained on."""

robustness = dict(
    sets={
        'hard': dict(kind='folder', protocol='scenes-hard@1', folder='scenes_hard/val'),
        'other-looks': dict(
            kind='folder', protocol='scenes-looks@1', folder='scenes_other_looks/val'
        ),
        'grey': dict(
            kind='folder',
            protocol='scenes-grey@1',
            folder='scenes/val',
            pipeline=[
                dict(type='LoadImageFromFile', imdecode_backend='pillow'),
                dict(type='RandomGrayscale', prob=1.0, keep_channels=True),
                dict(type='PackInputs'),
            ],
        ),
        'corrupted': dict(
            kind='on_the_fly', protocol='scenes-c-on-the-fly@1', folder='scenes_corrupted/val'
        ),
    },
    score=dict(
        protocol='scenes-robustness@1',
        top1=['hard', 'other-looks', 'grey'],
        corruptions='corrupted',
    ),
)
