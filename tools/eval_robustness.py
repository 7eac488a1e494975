"""Evaluate a fine-tuned classifier on ImageNet-A, -R, -Sketch and -C, or on sets of your own."""

import argparse
from pathlib import Path

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)

# isort: split
from mmengine.config import DictAction

from mmc2fmae.engine.launch import leave_processes
from mmc2fmae.evaluation.robustness import evaluate_robustness

SETS = Path(__file__).parents[1] / 'configs/cls/robustness/imagenet.py'


def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the classifier (mmpretrain)')
    parser.add_argument('checkpoint', help='its fine-tuned weights')
    parser.add_argument('--sets', default=SETS, help='config of the sets (%(default)s)')
    parser.add_argument('--data-root', default='data', help='holds the folders of the sets')
    parser.add_argument('--only', nargs='+', default=[], metavar='SET', help='these sets alone')
    parser.add_argument('--out', help='results (work_dirs/CONFIG/robustness_CHECKPOINT)')
    parser.add_argument('--batch-size', type=int, default=128, help='images at a time')
    parser.add_argument('--workers', type=int, default=4, help='loader processes a GPU')
    parser.add_argument('--limit', type=int, help='smoke run: images a cell; no result')
    parser.add_argument(
        '--amp',
        nargs='?',
        const='bfloat16',
        choices=['bfloat16', 'float16'],
        help='mixed precision (bfloat16 unless said otherwise)',
    )
    parser.add_argument('--device', help='cpu, cuda:1, ... (a GPU for each process)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='fields of either config, such as robustness.sets.imagenet-sketch.folder=sketch',
    )
    args = parser.parse_args()
    if min(args.batch_size, args.limit or 1) < 1 or args.workers < 0:
        parser.error('--batch-size and --limit are at least 1, --workers at least 0')
    evaluate_robustness(**vars(args))
    leave_processes()


if __name__ == '__main__':
    main()
