"""Write features of images, from a checkpoint of any house, to a folder of .npy files."""

import argparse

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.checkpoints import options
from mmc2fmae.evaluation import features


def main() -> None:
    """Parse the command line and extract."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint of this project, MAE, timm, ...')
    parser.add_argument('images', help='folder, .txt list with a path a line, or one image')
    parser.add_argument('out', help='folder to write')
    parser.add_argument(
        '--tokens', nargs='+', default=['cls'], choices=features.TOKENS,
        help='class token, mean over patches, or the grid of patches',
    )  # fmt: skip
    parser.add_argument('--blocks', type=int, nargs='+', default=[], help='from 0; the last one')
    features.add_feature_arguments(parser)
    options.add_statement_arguments(parser)
    args = parser.parse_args()
    how = {name: getattr(args, name) for name in features.FeatureOptions.__dataclass_fields__}
    try:
        written = features.extract_features(
            args.checkpoint,
            args.images,
            args.out,
            features.FeatureOptions(**how),
            **options.stated(args),
        )
    except (ValueError, OSError) as error:
        parser.exit(1, f'error: {error}\n')
    for name, shape in written.items():
        print(f'{args.out}/{name}.npy {shape}')


if __name__ == '__main__':
    main()
