"""Draw contact sheets of a multi-granular dataset: photographs, instances, semantic classes."""

import argparse

from mmc2fmae.cli.dataset_options import add_layout_arguments
from mmc2fmae.cli.parsing import at_least_one, whole_number

EXPECTED = (RuntimeError,)  # a worker died
# The keys of mmc2fmae.preparation.ranking.MEASURES.
MEASURES = ('score', 'coverage', 'instances', 'semantic-score', 'semantic-coverage')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_layout_arguments(parser)
    parser.add_argument('out', help='picture to write (.png, .pdf), or a folder of pages')
    which = parser.add_argument_group('which photographs').add_mutually_exclusive_group()
    which.add_argument(
        '--number', type=at_least_one, default=24, metavar='N', help='N at random (24)'
    )
    which.add_argument('--worst', type=at_least_one, metavar='N', help='the N worst, see --by')
    which.add_argument(
        '--names', nargs='+', metavar='PATH', help='these, or those listed in one .txt file'
    )
    parser.add_argument(
        '--by',
        choices=MEASURES,
        default='coverage',
        help='worst is the lowest mean score of the instances, the lowest coverage (default), the '
        'most instances, ...; scores need the manifest of the labelling',
    )
    parser.add_argument('--seed', type=whole_number, default=0, help='seed of the draw (0)')
    parser.add_argument(
        '--rows', type=at_least_one, default=12, metavar='N', help='rows a page (12)'
    )


def run(args: argparse.Namespace) -> None:
    """Choose photographs and draw them."""
    from mmc2fmae.paths import expand_path
    from mmc2fmae.preparation.folders import find_classes, find_layout
    from mmc2fmae.preparation.ranking import look_up, read_records, sample, worst
    from mmc2fmae.visualization.contact_sheets import draw_sheets, page_paths

    page_paths(args.out, 1)  # a wrong name shows before the maps are read
    layout = find_layout(args.root, args.split, args.folders, args.suffix)
    classes, source = find_classes(args.root, args.classes)
    if args.worst:
        note = f'the worst by {args.by}'
        records = worst(read_records(layout), args.worst, args.by)
    elif args.names:
        listed = len(args.names) == 1 and args.names[0].endswith('.txt')
        note = args.names[0] if listed else 'chosen by name'
        names = layout.photographs(expand_path(args.names[0])) if listed else args.names
        records = look_up(layout, names)
    else:
        note = f'{args.number} at random, seed {args.seed}'
        records = sample(layout, args.number, args.seed)
    note = f'{args.root}: {note}'
    if 'semantic' in layout.folders:
        note += f'.  Class names: {source}'
    for path in draw_sheets(
        records, layout, classes=classes, out=args.out, rows=args.rows, note=note
    ):
        print(path)
