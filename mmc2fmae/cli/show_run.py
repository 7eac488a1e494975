"""Draw a run: masked inputs, reconstructions, losses, masking curriculum, probes, validations."""

import argparse

from mmc2fmae.cli.parsing import KeyValues, at_least_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('work_dir', help='folder of the run')
    parser.add_argument('--out', help='picture to write (WORK_DIR/run.png)')
    parser.add_argument('--checkpoint', help='weights (the newest of the run)')
    parser.add_argument('--config', help="config of the run, in place of the checkpoint's")
    parser.add_argument('--data-root', help="folder of the data, in place of the config's")
    parser.add_argument(
        '--data-prefix',
        nargs='+',
        action=KeyValues,
        metavar='GRANULARITY=FOLDER',
        help="folders in place of the config's, such as rgb=val semantic=semantic/val",
    )
    parser.add_argument('--samples', type=at_least_one, default=6, help='samples to show')
    parser.add_argument(
        '--no-target-stats',
        action='store_true',
        help="show normalised pixel predictions as they are, without the target's statistics",
    )


def run(args: argparse.Namespace) -> None:
    """Draw."""
    from mmc2fmae.configs import find
    from mmc2fmae.visualization import draw_run

    path = draw_run(
        args.work_dir,
        args.out or f'{args.work_dir}/run.png',
        checkpoint=args.checkpoint,
        config=args.config and find(args.config),
        data_root=args.data_root,
        data_prefix=args.data_prefix,
        num_samples=args.samples,
        target_stats=not args.no_target_stats,
    )
    print(f'wrote {path}')
