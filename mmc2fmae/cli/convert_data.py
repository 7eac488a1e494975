"""Convert labels that are there already into maps to pre-train on (docs/convert_data.md)."""

import argparse
from typing import TYPE_CHECKING

from mmc2fmae.cli.parsing import at_least_one, whole_number

if TYPE_CHECKING:
    from mmc2fmae.preparation.conversion import Conversion

EXPECTED = (RuntimeError,)  # a worker died
ADE_SPLITS = ('train', 'val')  # those of mmc2fmae.preparation.converters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-command for every kind of labels."""
    kinds = parser.add_subparsers(
        dest='kind', required=True, metavar='coco | ade20k | folders | upright'
    )

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
        '--instance-void',
        type=whole_number,
        metavar='ID',
        help='id that is no instance (255 in Pascal VOC)',
    )
    folders.add_argument(
        '--skip-unlabelled', action='store_true', help='leave photographs without PNGs out'
    )

    upright = kinds.add_parser('upright', help='photographs without their EXIF orientation')
    upright.add_argument('images', help='folder of photographs')
    upright.add_argument('out', help='folder to write')
    upright.add_argument(
        '--as-stored',
        action='store_true',
        help='drop the orientation alone: for labels that were drawn on the stored pixels',
    )

    for kind in (coco, ade20k, folders):
        kind.add_argument(
            '--split',
            default='train',
            choices=ADE_SPLITS if kind is ade20k else None,
            help="name of the photographs' folder in ROOT (train)",
        )
        kind.add_argument('--workers', type=at_least_one, help='processes (one a core)')


def describe(args: argparse.Namespace) -> 'Conversion':
    """Return what the command line asks for.

    Raises:
        ValueError: Options contradict each other.
    """
    from mmc2fmae.preparation import converters

    if args.kind == 'folders' and bool(args.semantic) != bool(args.classes):
        raise ValueError('--semantic and --classes go together')
    if args.kind == 'coco':
        return converters.from_coco_panoptic(args.images, args.panoptic, args.pngs)
    if args.kind == 'ade20k':
        return converters.from_ade20k(args.source, args.split, instances=not args.no_instances)
    classes = ('background', args.object_class)
    return converters.from_folders(
        args.images,
        args.instance,
        semantic=args.semantic,
        classes=converters.read_class_names(args.classes) if args.classes else classes,
        reduce_zero_label=args.reduce_zero_label,
        instance_void=args.instance_void,
        skip_unlabelled=args.skip_unlabelled,
    )


def run(args: argparse.Namespace) -> None:
    """Convert, and say how to train."""
    if args.kind == 'upright':
        from mmc2fmae.preparation.upright import write_upright

        number, changed = write_upright(args.images, args.out, args.as_stored)
        print(f'{args.out}: {number:,} photographs, {changed:,} of them had an EXIF orientation')
        return
    from mmc2fmae.preparation.conversion import convert, training_command

    conversion = describe(args)
    done = convert(conversion, args.root, args.split, args.workers)
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
