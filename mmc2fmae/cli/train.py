"""Train whatever a config describes: pre-training, classification, detection, segmentation."""

import argparse

from mmc2fmae.cli.run_options import add_common_arguments, add_train_arguments
from mmc2fmae.configs import blame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of training."""
    add_common_arguments(parser)
    add_train_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Train."""
    from mmc2fmae.engine import launch
    from mmc2fmae.probes import apply_probes

    cfg = launch.load_config(args)
    apply_probes(cfg, args)
    launch.apply_train_options(cfg, args)
    with blame(args.config, launch.is_config_mistake):
        launch.build_runner(cfg).train()
    launch.leave_processes()
