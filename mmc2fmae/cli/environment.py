"""Every version, every gap of the stack, and whether training can run."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there are no options."""


def run(args: argparse.Namespace) -> int:
    """Print the report and return 0 when training can run, otherwise 1."""
    from mmc2fmae import env

    return env.main()
