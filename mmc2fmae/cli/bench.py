"""Measure what a machine does with this project, and check that its precisions agree."""

import argparse
import shlex
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    commands = parser.add_subparsers(dest='command', required=True)
    gpu = commands.add_parser('gpu', help='speed, memory and agreement on one GPU, in minutes')
    gpu.add_argument('--parts', nargs='+', help='these parts alone; a wrong name lists them')
    gpu.add_argument('--toy', action='store_true', help='everything small; runs on a CPU, too')
    gpu.add_argument('--mae', type=Path, metavar='DIR', help='checkout of facebookresearch/mae')
    gpu.add_argument('--multimae', type=Path, metavar='DIR', help='checkout of EPFL-VILAB/MultiMAE')
    gpu.add_argument('--out', type=Path, default=Path(), help='folder of the report (.)')


def run(args: argparse.Namespace) -> int:
    """Measure and write the report.

    Raises:
        ValueError: There is no GPU, or no such part.
    """
    import torch
    from mmengine.logging import MMLogger

    from mmc2fmae.benchmark import report
    from mmc2fmae.benchmark.parts import PARTS, Bench
    from mmc2fmae.benchmark.scales import GPU, TOY
    from mmc2fmae.errors import nearest

    if not torch.cuda.is_available() and not args.toy:
        raise ValueError('there is no GPU here: --toy runs every part small on the CPU')
    if args.toy and (args.mae or args.multimae):
        raise ValueError('--mae and --multimae are ViT-B: leave out --toy')
    for part in args.parts or ():
        if part not in PARTS:
            raise ValueError(
                f'--parts: there is no part {part!r}{nearest(part, PARTS)}; there are '
                f'{", ".join(PARTS)}'
            )
    MMLogger.get_instance('benchmark', log_level='WARNING')
    checkouts = dict(mae=args.mae, multimae=args.multimae)
    bench = Bench(
        TOY if args.toy else GPU,
        torch.device('cuda' if torch.cuda.is_available() else 'cpu'),
        {name: path for name, path in checkouts.items() if path},
        lambda text: print(text, flush=True),
    )
    words = ['mmc2fmae', 'bench', *sys.argv[sys.argv.index('gpu') :]] if 'gpu' in sys.argv else []
    for result in report.run(bench, args.parts or list(PARTS), shlex.join(words)):
        page = report.write(result, args.out)
    print(page.read_text())
    wrong = report.failed(result)
    for line in wrong:
        print(f'failed: {line}', file=sys.stderr)
    print(f'wrote {page} and {page.with_suffix(".json").name}')
    return 1 if wrong else 0
