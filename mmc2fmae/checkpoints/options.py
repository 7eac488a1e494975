"""Command-line options of the tools that read a checkpoint of any house."""

import argparse
from typing import Any

OPTIONS = ('num_heads', 'mean', 'std')


def add_statement_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for what a checkpoint may not say about its backbone."""
    parser.add_argument(
        '--num-heads', type=int, help='attention heads, where the file does not say (64 a head)'
    )
    for name in ('mean', 'std'):
        parser.add_argument(
            f'--{name}',
            type=float,
            nargs='+',
            help=f"{name} of the channels in [0, 1], where the file does not say (ImageNet's)",
        )


def stated(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options as keywords of :func:`mmc2fmae.checkpoints.read_backbone`.

    Raises:
        ValueError: Only one of mean and std is given.
    """
    if (args.mean is None) != (args.std is None):
        raise ValueError('--mean and --std belong together: give both')
    return {name: getattr(args, name) for name in OPTIONS}
