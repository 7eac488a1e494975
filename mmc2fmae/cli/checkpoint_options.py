"""Options of the commands that read a checkpoint of any house."""

import argparse
from typing import Any

from mmc2fmae.cli.parsing import at_least_one, whole_number

OPTIONS = ('num_heads', 'mean', 'std')


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses between the two sets of weights that a checkpoint may have."""
    parser.add_argument(
        '--weights',
        choices=('ema', 'raw'),
        help='averaged (EMA) or raw weights, of a checkpoint with both (the log says which)',
    )


def add_statement_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for what a checkpoint may not say about its backbone."""
    add_weights_argument(parser)
    parser.add_argument(
        '--num-heads',
        type=at_least_one,
        help='attention heads, where the file does not say (64 a head)',
    )
    for name in ('mean', 'std'):
        parser.add_argument(
            f'--{name}',
            type=float,
            nargs='+',
            help=f"{name} of the channels in [0, 1], where the file does not say (ImageNet's)",
        )


def stated(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options as keywords of :func:`mmc2fmae.checkpoints.read_backbone`."""
    return {'which': args.weights} | {name: getattr(args, name) for name in OPTIONS}


def add_feature_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that all tools share which compute features."""
    parser.add_argument('--size', type=at_least_one, help="side of the input (the checkpoint's)")
    parser.add_argument('--batch-size', type=at_least_one, default=64)
    parser.add_argument(
        '--workers', type=whole_number, default=2, help='processes that read images'
    )
    parser.add_argument('--device', help='cpu, cuda, ... (a GPU where there is one)')
    parser.add_argument('--half', action='store_true', help='float16 throughout; needs a GPU')


def device(args: argparse.Namespace) -> str:
    """Return the device of the command line, by default a GPU where there is one.

    Raises:
        ValueError: This machine does not have it.
    """
    from mmc2fmae.devices import find_device

    return str(find_device(args.device))
