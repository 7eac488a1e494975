"""Write the built-in multi-granular scenes to disk: photographs, label maps, COCO and ADE20K."""

import argparse
from dataclasses import fields

from mmc2fmae.scenes import SceneSpec, write_scenes


def main() -> None:
    """Parse the command line and write the scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', help='folder to create, e.g. data/scenes')
    parser.add_argument('--train', type=int, default=4000, metavar='N', help='default: 4000')
    parser.add_argument('--val', type=int, default=1000, metavar='N', help='default: 1000')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    parser.add_argument('--workers', type=int, metavar='N', help='default: one for each core')
    parser.add_argument('--overwrite', action='store_true', help='replace other scenes at OUT')
    parser.add_argument('--quiet', action='store_true', help='no progress')
    group = parser.add_argument_group('the scenes', 'See SceneSpec for what these mean.')
    for field in fields(SceneSpec):
        pair = isinstance(field.default, tuple)
        default = ' '.join(map(str, field.default)) if pair else field.default
        group.add_argument(
            '--' + field.name.replace('_', '-'),
            type=type(field.default[0] if pair else field.default),
            nargs=2 if pair else None,
            metavar=('LEAST', 'MOST') if pair else 'X',
            default=field.default,
            help=f'default: {default}',
        )
    args = parser.parse_args()
    try:
        spec = SceneSpec(**{field.name: getattr(args, field.name) for field in fields(SceneSpec)})
        out = write_scenes(
            args.out,
            spec,
            args.train,
            args.val,
            args.seed,
            args.workers,
            overwrite=args.overwrite,
            quiet=args.quiet,
        )
    except (ValueError, OSError) as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')
    except KeyboardInterrupt:
        parser.exit(130, f'\n{parser.prog}: interrupted, {args.out} is as it was\n')
    print(out)


if __name__ == '__main__':
    main()
