"""Draw contact sheets of a multi-granular dataset: photographs, instances, semantic classes."""

import argparse

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation.folders import add_layout_arguments, find_classes, find_layout, read_lines
from mmc2fmae.preparation.ranking import MEASURES, look_up, read_records, sample, worst
from mmc2fmae.visualization.contact_sheets import draw_sheets, page_paths


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError(f'{number} is less than 1')
    return number


def main() -> None:
    """Parse the command line, choose photographs and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_layout_arguments(parser)
    parser.add_argument('out', help='picture to write (.png, .pdf), or a folder of pages')
    which = parser.add_argument_group('which photographs').add_mutually_exclusive_group()
    which.add_argument('--number', type=positive, default=24, metavar='N', help='N at random (24)')
    which.add_argument('--worst', type=positive, metavar='N', help='the N worst, see --by')
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
    parser.add_argument('--seed', type=int, default=0, help='seed of the draw (0)')
    parser.add_argument('--rows', type=positive, default=12, metavar='N', help='rows a page (12)')
    args = parser.parse_args()
    try:
        page_paths(args.out, 1)  # a wrong name shows before the maps are read
        layout = find_layout(args.root, args.split, args.folders, args.suffix)
        classes, source = find_classes(args.root, args.classes)
        if args.worst:
            note = f'the worst by {args.by}'
            records = worst(read_records(layout), args.worst, args.by)
        elif args.names:
            listed = len(args.names) == 1 and args.names[0].endswith('.txt')
            note = args.names[0] if listed else 'chosen by name'
            records = look_up(layout, read_lines(args.names[0]) if listed else args.names)
        else:
            note = f'{args.number} at random, seed {args.seed}'
            records = sample(layout, args.number, args.seed)
        note = f'{args.root}: {note}'
        if 'semantic' in layout.folders:
            note += f'.  Class names: {source}'
        for path in draw_sheets(records, layout, classes, args.out, args.rows, note):
            print(path)
    except (DatasetError, RuntimeError) as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')


if __name__ == '__main__':
    main()
