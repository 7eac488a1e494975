"""Write features of images, from a checkpoint of any house, to a folder of .npy files."""

import argparse

from mmc2fmae.cli import checkpoint_options
from mmc2fmae.cli.parsing import tell_left_out, whole_number

TOKENS = ('cls', 'mean', 'patches')  # those of mmc2fmae.evaluation.features


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('checkpoint', help='checkpoint of this project, MAE, timm, ...')
    parser.add_argument('images', help='folder, .txt list with a path a line, or one image')
    parser.add_argument('out', help='folder to write')
    parser.add_argument(
        '--tokens', nargs='+', default=['cls'], choices=TOKENS,
        help='class token, mean over patches, or the grid of patches',
    )  # fmt: skip
    parser.add_argument(
        '--blocks', type=whole_number, nargs='+', default=[], help='from 0; the last one'
    )
    checkpoint_options.add_feature_arguments(parser)
    checkpoint_options.add_statement_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Extract; the status is 3 where images could not be read."""
    from mmc2fmae.evaluation.feature_files import extract_features
    from mmc2fmae.evaluation.features import FeatureOptions

    stated = checkpoint_options.stated(args)
    args.device = checkpoint_options.device(args)
    how = {name: getattr(args, name) for name in FeatureOptions.__dataclass_fields__}
    written, unreadable = extract_features(
        args.checkpoint, args.images, args.out, FeatureOptions(**how), **stated
    )
    for name, shape in written.items():
        print(f'{args.out}/{name}.npy {shape}')
    return tell_left_out(unreadable, 'they have no row (features.json lists the rows)')
