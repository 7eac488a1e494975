"""Evaluate a checkpoint with the test data and metrics of a config."""

import argparse

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.engine import launch
from mmc2fmae.evaluation import prediction_file  # noqa: F401  (registers the metric)


def main() -> None:
    """Parse the command line and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    launch.add_common_arguments(parser)
    parser.add_argument('checkpoint', help='weights to evaluate')
    parser.add_argument(
        '--predictions',
        metavar='FILE',
        help='also write one line a photograph, for classifiers: a Parquet file',
    )
    args = parser.parse_args()
    cfg = launch.load_config(args)
    if not cfg.get('test_dataloader'):
        parser.error(
            f'{args.config} has no test_dataloader: pre-training has no test, look at its '
            'reconstructions with tools/visualize_run.py'
        )
    if args.predictions:
        metric = dict(type='PredictionFile', path=args.predictions)
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [*(metrics if isinstance(metrics, list) else [metrics]), metric]
    cfg.load_from = args.checkpoint
    launch.build_runner(cfg).test()
    launch.leave_processes()


if __name__ == '__main__':
    main()
