"""Train whatever a config describes: pre-training, classification, detection, segmentation."""

import argparse
import signal
from typing import TYPE_CHECKING

from mmc2fmae.cli.run_options import add_common_arguments, add_train_arguments
from mmc2fmae.configs import blame
from mmc2fmae.errors import RunStopped

if TYPE_CHECKING:
    from mmengine.runner import Runner

EXPECTED = (FloatingPointError, RunStopped)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of training."""
    add_common_arguments(parser)
    add_train_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train; return 75 where a signal has ended it and it has saved, 0 at its end."""
    from mmc2fmae.engine import launch
    from mmc2fmae.engine.failures import run_told
    from mmc2fmae.engine.interruption import Interruption, InterruptionHook
    from mmc2fmae.engine.processes import leave_processes
    from mmc2fmae.engine.train_options import apply_train_options
    from mmc2fmae.parallel import end_with_parent
    from mmc2fmae.probes import apply_probes
    from mmc2fmae.torchrun import LEAVING, launcher_folder

    if launcher_folder():
        end_with_parent(signal.SIGTERM)
    cfg = launch.load_config(args)
    apply_probes(cfg, args)
    apply_train_options(cfg, args)
    status = 0

    def train(runner: 'Runner') -> None:
        nonlocal status
        runner.register_hook(InterruptionHook())
        try:
            runner.train()
        except Interruption as told:
            runner.logger.warning(str(told))
            status = 0 if launcher_folder() else LEAVING  # the launcher turns it into 75

    with blame(args.config, launch.is_config_mistake):
        run_told(lambda: launch.build_runner(cfg), train)
    leave_processes()
    return status
