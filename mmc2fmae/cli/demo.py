"""Generate scenes, pre-train the mini model on them and draw what it learned (`make demo`)."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where things are written."""
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--data-root', type=Path, default=Path('data/demo_scenes'))


def run(args: argparse.Namespace) -> None:
    """Run the three steps with the ordinary commands and print where the results are."""
    import time

    from mmc2fmae.checkpoints.finding import latest_checkpoint
    from mmc2fmae.engine.tool_runs import run_tool

    start = time.time()
    run_tool('scenes', args.data_root, '--train', 2000, '--val', 100)
    where = ('--work-dir', args.work_dir, '--data-root', args.data_root)
    run_tool('train', 'mmc2fmae::mini/demo.py', *where, '--resume')
    picture = args.work_dir / 'demo.png'
    prefix = ('rgb=val', 'instance=instance/val', 'semantic=semantic/val')
    options = ('--out', picture, '--data-root', args.data_root, '--data-prefix', *prefix)
    run_tool('show-run', args.work_dir, *options)
    print(f'\nC2FMAE demo finished in {time.time() - start:.0f} s')
    print_losses(args.work_dir)
    print(f'picture:    {picture.resolve()}')
    newest = latest_checkpoint(args.work_dir)
    print(f'checkpoint: {newest and newest.resolve()}')


def print_losses(work_dir: Path) -> None:
    """Print the first and the last logged losses of the run."""
    from mmc2fmae.engine.run_log import read_scalars

    records = read_scalars(work_dir)
    for name in ('loss_semantic', 'loss_instance', 'loss_rgb'):
        print(f'{name + ":":16}{records[0][name]:.3f} -> {records[-1][name]:.3f}')
