"""Write a run as one folder for others: weights, config, logs, a model card and checksums."""

import argparse
import shlex

from mmc2fmae.cli.checkpoint_options import add_weights_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('run', help='folder of a run, or a checkpoint in it')
    parser.add_argument('out', help='folder to write')
    add_weights_argument(parser)
    parser.add_argument('--license', metavar='NAME', help='for the model card, such as apache-2.0')


def run(args: argparse.Namespace) -> None:
    """Export, and say how the folder is used."""
    from mmc2fmae.sharing import export_run

    out = export_run(args.run, args.out, args.weights, args.license)
    size = sum(path.stat().st_size for path in out.rglob('*') if path.is_file())
    print(
        f'wrote {out}, {size / 2**20:.1f} MiB: README.md says how to use it; config.py names no '
        'folder of this machine, logs/ may\n'
        f'to push it: hf upload USER/NAME {shlex.quote(str(out))}'
    )
