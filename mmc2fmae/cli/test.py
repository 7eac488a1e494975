"""Evaluate a run, or a checkpoint with the test data and metrics of a config."""

import argparse
from typing import TYPE_CHECKING

from mmc2fmae.cli.checkpoint_options import add_weights_argument
from mmc2fmae.cli.run_options import add_common_arguments
from mmc2fmae.configs import blame, require_weights
from mmc2fmae.errors import RunStopped

if TYPE_CHECKING:
    from mmengine.runner import Runner

EXPECTED = (RunStopped,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of testing."""
    add_common_arguments(parser)
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='weights to evaluate, or the folder of a run; may be left out where the first '
        'argument is the folder or checkpoint of a run, whose config and options hold',
    )
    add_weights_argument(parser)
    parser.add_argument(
        '--predictions',
        metavar='FILE',
        help='also write one line a photograph, for classifiers: a Parquet file',
    )


def run(args: argparse.Namespace) -> None:
    """Test."""
    checkpoint = require_weights(args.config, args.checkpoint)
    from mmc2fmae.checkpoints.finding import local_checkpoint
    from mmc2fmae.engine import launch
    from mmc2fmae.engine.checkpoint_hook import ChosenWeightsHook
    from mmc2fmae.engine.failures import run_told
    from mmc2fmae.engine.processes import leave_processes
    from mmc2fmae.evaluation import prediction_file  # noqa: F401  (registers the metric)

    cfg = launch.load_config(args)
    if not cfg.get('test_dataloader'):
        raise ValueError(
            f'{args.config} has no test_dataloader: pre-training has no test, look at its '
            'reconstructions with tools/visualize_run.py (mmc2fmae show-run)'
        )
    if args.predictions:
        metric = dict(type='PredictionFile', path=args.predictions)
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [*(metrics if isinstance(metrics, list) else [metrics]), metric]
    cfg.load_from = local_checkpoint(checkpoint)
    cfg.resume = False  # the config of a run that was resumed says so

    def test(runner: 'Runner') -> None:
        runner.register_hook(ChosenWeightsHook(args.weights))
        runner.test()

    with blame(args.config, launch.is_config_mistake):
        run_told(lambda: launch.build_runner(cfg), test)
    leave_processes()
