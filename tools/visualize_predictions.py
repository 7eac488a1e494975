"""Draw the predictions of a trained detector or segmentation model on photographs."""

import argparse

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.visualization.predictions import draw_predictions


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the run')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument('images', help='a photograph or a folder of photographs')
    parser.add_argument('out', help='folder to write to')
    parser.add_argument('--score', type=float, default=0.3, help='least score of a box (0.3)')
    parser.add_argument('--most', type=int, help='photographs to draw at most')
    args = parser.parse_args()
    pictures = draw_predictions(
        args.config, args.checkpoint, args.images, args.out, args.score, args.most
    )
    print(f'wrote {len(pictures)} pictures to {pictures[0].parent}')


if __name__ == '__main__':
    main()
