"""Options of the commands that look at a dataset."""

import argparse


def add_layout_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `find_layout` and `find_classes` of mmc2fmae.preparation.folders take."""
    parser.add_argument('root', help='folder of the dataset')
    parser.add_argument('--split', default='train', help='folder of the photographs (train)')
    parser.add_argument(
        '--folders',
        nargs='+',
        default=(),
        metavar='KEY=FOLDER',
        help='another layout, e.g. rgb=images instance=masks',
    )
    parser.add_argument('--suffix', default='.png', help='suffix of the maps (.png)')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='names of the semantic classes, or a file of them (labels.json, else COCO panoptic)',
    )
