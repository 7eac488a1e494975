"""Draw the predictions of a trained detector or segmentation model on photographs."""

import argparse

from mmc2fmae.cli.parsing import at_least_one, share, tell_left_out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='config of the run, or its folder or checkpoint')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint of the run; left out after a folder or checkpoint'
    )
    parser.add_argument('images', help='a photograph or a folder of photographs')
    parser.add_argument('out', help='folder to write to')
    parser.add_argument('--score', type=share, default=0.3, help='least score of a box (0.3)')
    parser.add_argument('--most', type=at_least_one, help='photographs to draw at most')


def run(args: argparse.Namespace) -> int:
    """Draw; the status is 3 where photographs could not be read."""
    from mmc2fmae.configs import find, require_weights
    from mmc2fmae.visualization.predictions import draw_predictions

    checkpoint = require_weights(args.config, args.checkpoint)
    pictures, unreadable = draw_predictions(
        find(args.config),
        checkpoint,
        images=args.images,
        out=args.out,
        score=args.score,
        most=args.most,
    )
    print(f'wrote {len(pictures)} pictures to {pictures[0].parent}')
    return tell_left_out(unreadable, 'they have no picture')
