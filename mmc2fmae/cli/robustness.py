"""Evaluate a fine-tuned classifier on ImageNet-A, -R, -Sketch and -C, or on sets of your own."""

import argparse

from mmc2fmae.cli.checkpoint_options import add_weights_argument
from mmc2fmae.cli.parsing import KeyValues, at_least_one, whole_number
from mmc2fmae.cli.run_options import add_amp_argument, add_set_argument

EXPECTED = (RuntimeError,)  # an image that cannot be read, a process that ended early
SETS = 'mmc2fmae::cls/robustness/imagenet.py'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='config of the classifier (mmpretrain)')
    parser.add_argument('checkpoint', help='its fine-tuned weights, or the folder of the run')
    parser.add_argument('--sets', default=SETS, help='config of the sets (%(default)s)')
    parser.add_argument('--data-root', default='data', help='holds the folders of the sets')
    parser.add_argument('--only', nargs='+', default=[], metavar='SET', help='these sets alone')
    parser.add_argument('--out', help='results (work_dirs/CONFIG/robustness_CHECKPOINT)')
    parser.add_argument('--batch-size', type=at_least_one, default=128, help='images at a time')
    parser.add_argument('--workers', type=whole_number, default=4, help='loader processes a GPU')
    parser.add_argument('--limit', type=at_least_one, help='smoke run: images a cell; no result')
    add_weights_argument(parser)
    add_amp_argument(parser)
    parser.add_argument('--device', help='cpu, cuda:1, ... (a GPU for each process)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValues,
        metavar='KEY=VALUE',
        help='fields of either config, such as robustness.sets.imagenet-sketch.folder=sketch',
    )
    add_set_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate."""
    from mmc2fmae.configs import find
    from mmc2fmae.engine.processes import leave_processes
    from mmc2fmae.evaluation.robustness import evaluate_robustness

    options = vars(args) | dict(config=find(args.config), sets=find(args.sets))
    evaluate_robustness(settings=options.pop('set'), **options)
    leave_processes()
