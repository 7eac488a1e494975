"""Write the built-in multi-granular scenes to disk: photographs, label maps, COCO and ADE20K."""

import argparse
from dataclasses import fields
from typing import Any

from mmc2fmae.cli.parsing import at_least_one, whole_number

EXPECTED = (RuntimeError,)  # a worker died


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, one of them for every field of SceneSpec."""
    from mmc2fmae.scenes.spec import SceneSpec  # not above: its package imports numpy

    parser.add_argument('out', help='folder to create, e.g. data/scenes')
    parser.add_argument(
        '--train', type=whole_number, default=4000, metavar='N', help='default: 4000'
    )
    parser.add_argument('--val', type=whole_number, default=1000, metavar='N', help='default: 1000')
    parser.add_argument('--seed', type=whole_number, default=0, help='default: 0')
    parser.add_argument(
        '--workers', type=at_least_one, metavar='N', help='default: one for each core'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace other scenes at OUT')
    parser.add_argument('--quiet', action='store_true', help='no progress')
    group = parser.add_argument_group('the scenes', 'See SceneSpec for what these mean.')
    for field in fields(SceneSpec):
        standard: Any = field.default
        pair = isinstance(standard, tuple)
        default = ' '.join(map(str, standard)) if pair else standard
        group.add_argument(
            '--' + field.name.replace('_', '-'),
            type=type(standard[0] if pair else standard),
            nargs=2 if pair else None,
            metavar=('LEAST', 'MOST') if pair else 'X',
            default=standard,
            help=f'default: {default}',
        )


def run(args: argparse.Namespace) -> None:
    """Write the scenes."""
    from mmc2fmae.scenes import SceneSpec, write_scenes

    spec = SceneSpec(**{field.name: getattr(args, field.name) for field in fields(SceneSpec)})
    try:
        out = write_scenes(
            args.out,
            spec,
            num_train=args.train,
            num_val=args.val,
            seed=args.seed,
            workers=args.workers,
            overwrite=args.overwrite,
            quiet=args.quiet,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f'{args.out} is as it was') from None
    print(out)
