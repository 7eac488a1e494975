"""Convert labels that are there already into maps to pre-train on (docs/convert_data.md)."""

import argparse

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.preparation.conversion import Conversion, convert, training_command
from mmc2fmae.preparation.converters import (
    ADE_SPLITS,
    from_ade20k,
    from_coco_panoptic,
    from_folders,
    read_class_names,
)


def parse_arguments() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Return the parser and the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='coco | ade20k | folders')

    coco = kinds.add_parser('coco', help='photographs with a panoptic json and its PNGs')
    coco.add_argument('root', help='folder to write, e.g. data/coco_maps')
    coco.add_argument('--images', required=True, help='e.g. data/coco/train2017')
    coco.add_argument('--panoptic', required=True, help='e.g. .../panoptic_train2017.json')
    coco.add_argument('--pngs', help="folder of its PNGs (the json's name without .json)")

    ade20k = kinds.add_parser('ade20k', help='ADEChallengeData2016, with annotations_instance')
    ade20k.add_argument('root', help='folder to write, e.g. data/ade20k_maps')
    ade20k.add_argument('--source', required=True, help='e.g. data/ade/ADEChallengeData2016')
    ade20k.add_argument(
        '--no-instances', action='store_true', help='semantic maps alone, without instances'
    )

    folders = kinds.add_parser('folders', help='folders of PNGs with ids, e.g. Pascal VOC')
    folders.add_argument('root', help='folder to write, e.g. data/my_maps')
    folders.add_argument('--images', required=True, help='folder of photographs')
    folders.add_argument('--instance', required=True, help='PNGs of instances, 0 = background')
    semantic = folders.add_mutually_exclusive_group(required=True)
    semantic.add_argument('--semantic', help='PNGs of class ids, 255 = unknown; with --classes')
    semantic.add_argument(
        '--object-class', metavar='NAME', help='no class maps: all instances are of this class'
    )
    folders.add_argument('--classes', metavar='FILE', help='names of the classes, one a line')
    folders.add_argument(
        '--reduce-zero-label', action='store_true', help='classes start at 1, 0 = unknown'
    )
    folders.add_argument(
        '--instance-void', type=int, metavar='ID', help='id that is no instance (255 in Pascal VOC)'
    )
    folders.add_argument(
        '--skip-unlabelled', action='store_true', help='leave photographs without PNGs out'
    )

    for kind in (coco, ade20k, folders):
        kind.add_argument(
            '--split',
            default='train',
            choices=tuple(ADE_SPLITS) if kind is ade20k else None,
            help="name of the photographs' folder in ROOT (train)",
        )
        kind.add_argument('--workers', type=int, help='processes (one a core)')
    args = parser.parse_args()
    if args.kind == 'folders' and bool(args.semantic) != bool(args.classes):
        folders.error('--semantic and --classes go together')
    return parser, args


def describe(args: argparse.Namespace) -> Conversion:
    """Return what the command line asks for."""
    if args.kind == 'coco':
        return from_coco_panoptic(args.images, args.panoptic, args.pngs)
    if args.kind == 'ade20k':
        return from_ade20k(args.source, args.split, instances=not args.no_instances)
    classes = ('background', args.object_class)
    return from_folders(
        args.images,
        args.instance,
        args.semantic,
        read_class_names(args.classes) if args.classes else classes,
        args.reduce_zero_label,
        args.instance_void,
        args.skip_unlabelled,
    )


def main() -> None:
    """Convert, and say how to train."""
    parser, args = parse_arguments()
    try:
        conversion = describe(args)
        done = convert(conversion, args.root, args.split, args.workers)
    except (ValueError, OSError, RuntimeError) as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')
    print(
        f'{args.root}: {done.photographs:,} photographs ({done.kept:,} were done before), '
        f'{" and ".join(conversion.granularities)} maps, {len(conversion.classes)} classes'
    )
    if done.ann_file:
        print(f'{done.ann_file}: the labelled photographs, others have no labels')
    print('look at it: python tools/check_dataset.py', args.root)
    if 'instance' in conversion.granularities:
        print('pre-train:  ' + training_command(conversion, args.root, args.split, done.ann_file))
    else:
        print('pre-train:  without instances, with a config as in docs/convert_data.md')


if __name__ == '__main__':
    main()
