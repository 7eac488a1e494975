"""Draw the paper's figures, as PNG and PDF, from any checkpoint and any images."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from mmc2fmae.cli import checkpoint_options
from mmc2fmae.cli.parsing import at_least_one, positive, share, whole_number

WIDTH = 7.16  # as in mmc2fmae.visualization.figures.page


def pair(text: str) -> tuple[str, str]:
    """Read GRANULARITY=FOLDER."""
    name, sign, folder = text.partition('=')
    if not (name and sign and folder):
        raise argparse.ArgumentTypeError(f'{text!r}: expected GRANULARITY=FOLDER')
    return name, folder


def add_photographs(parser: argparse.ArgumentParser) -> None:
    """Add options of figures that look at photographs alone."""
    parser.add_argument(
        'checkpoints', nargs='+', help='checkpoints of this project, MAE, timm, ...'
    )
    parser.add_argument(
        '--images', nargs='+', required=True, help='photographs, or folders of them'
    )
    parser.add_argument(
        '--size', type=at_least_one, help="side of the input in pixels (the checkpoint's)"
    )
    checkpoint_options.add_statement_arguments(parser)


def add_samples(parser: argparse.ArgumentParser) -> None:
    """Add options of figures that need photographs with their maps."""
    parser.add_argument('--images', nargs='+', help='photographs, or folders of them')
    pairs: dict[str, Any] = dict(nargs='+', type=pair, default=[])
    parser.add_argument(
        '--maps', metavar='GRANULARITY=FOLDER', help='where the maps of --images lie', **pairs
    )
    parser.add_argument('--data-root', help='without --images: folder of the dataset')
    parser.add_argument(
        '--data-prefix',
        metavar='GRANULARITY=FOLDER',
        help='its folders, such as rgb=val instance=instance/val semantic=semantic/val',
        **pairs,
    )
    parser.add_argument(
        '--samples', type=at_least_one, default=6, help='samples, evenly over the dataset'
    )
    parser.add_argument(
        '--classes', nargs='+', help='names of the semantic classes, or a file (labels.json)'
    )


def add_autoencoders(parser: argparse.ArgumentParser, several: bool) -> None:
    """Add options of figures that reconstruct."""
    parser.add_argument(
        'checkpoints',
        nargs='+' if several else 1,
        metavar='checkpoint',
        help='checkpoint or work dir of a pre-training',
    )
    parser.add_argument('--config', help='its config, where the checkpoint carries none')
    add_samples(parser)
    parser.add_argument('--seed', type=whole_number, default=0, help='seed of the masks')
    parser.add_argument(
        '--no-target-stats',
        dest='target_stats',
        action='store_false',
        help="show normalised pixel predictions as they are, without the target's statistics",
    )


def _attention(command: argparse.ArgumentParser) -> None:
    add_photographs(command)
    command.add_argument(
        '--query', nargs='+', default=['cls'], metavar='cls|mean|proxy:I|ROW,COLUMN',
        help='class token (mean of several), mean over all patches, one of several class tokens, '
        'or patches by row and column; all from 0',
    )  # fmt: skip
    command.add_argument('--block', type=int, default=-1, help='from 0; -1 is the last')
    command.add_argument('--heads', default='mean', help="'mean', 'each', or numbers: 0,3")
    command.add_argument('--style', nargs='+', default=['overlay'], choices=['overlay', 'heat'])
    command.add_argument(
        '--shared-scale', action='store_true', help='one scale for all maps, with a colour bar'
    )


def _curriculum(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        'curricula', nargs='*', default=['SG-IG-RD'],
        help='presets such as SG-IG-RD, configs, checkpoints, work dirs',
    )  # fmt: skip
    command.add_argument('--epochs', type=at_least_one, help='label the axis with this many epochs')
    command.add_argument('--data-root', help='folder of the dataset to mask (drawn scenes)')
    command.add_argument(
        '--samples', type=at_least_one, default=200, help='samples to mask at each point (200)'
    )


def _reconstruct(command: argparse.ArgumentParser) -> None:
    add_autoencoders(command, several=False)
    command.add_argument('--visible', type=at_least_one, help="visible tokens (the training's)")
    command.add_argument('--draws', type=at_least_one, default=1, help='masks for each sample')
    command.add_argument(
        '--concentration', type=positive, default=1e3,
        help='how alike the granularities share the visible tokens: 1 as in training (1000)',
    )  # fmt: skip


def _cross(command: argparse.ArgumentParser) -> None:
    add_autoencoders(command, several=True)
    command.add_argument(
        '--granularity', nargs='+', default=['rgb'], help='what is seen, each alone'
    )
    command.add_argument('--tokens', type=at_least_one, help='how many of its tokens (all)')


def _sparse(command: argparse.ArgumentParser) -> None:
    add_autoencoders(command, several=True)
    command.add_argument(
        '--granularity',
        nargs='+',
        default=['instance', 'semantic'],
        help='what is seen, each alone',
    )
    command.add_argument(
        '--tokens', type=at_least_one, default=32, help='how many of its tokens (32)'
    )


def _samples(command: argparse.ArgumentParser) -> None:
    add_samples(command)
    command.add_argument('--across', type=at_least_one, default=2, help='samples in a row')
    command.add_argument(
        '--size', type=at_least_one, default=224, help='side of a picture in pixels'
    )


def _pca(command: argparse.ArgumentParser) -> None:
    add_photographs(command)
    command.add_argument('--block', type=int, help='after which block, from 0; the last one')
    command.add_argument(
        '--foreground', type=share, metavar='SHARE',
        help='draw objects alone: first component above this share of its range, such as 0.5',
    )  # fmt: skip


FIGURES = {
    'attention': ('Figure 1: where checkpoints look, side by side', _attention),
    'curriculum': ('Figure 3: the masking curriculum, and what it hides', _curriculum),
    'reconstruct': ('Figure 4: predictions under random masks', _reconstruct),
    'cross': ('Figure 5: one granularity in, the others predicted', _cross),
    'sparse': ('Figure 6: few tokens of a mask in, the others predicted', _sparse),
    'samples': ('Samples of a dataset: photographs and maps', _samples),
    'pca': ('Patch features as colours: principal components', _pca),
}
"""What each shows, and what adds its options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-command for every figure."""
    commands = parser.add_subparsers(dest='figure', required=True)
    for name, (about, add_own) in FIGURES.items():
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument(
            '--out', required=True, help='OUT.png, OUT.pdf and OUT.json are written'
        )
        command.add_argument(
            '--width', type=positive, default=WIDTH, help='most inches across (7.16, two columns)'
        )
        if name != 'curriculum':
            command.add_argument('--names', nargs='+', help="names of the images (their files')")
        if name not in ('curriculum', 'samples'):
            command.add_argument(
                '--labels', nargs='+', help="names of the checkpoints (the files')"
            )
        add_own(command)


def run(args: argparse.Namespace) -> None:
    """Draw, and write what was drawn and how."""
    from mmc2fmae.checkpoints.finding import find_checkpoint
    from mmc2fmae.cli.figures_drawn import DRAW
    from mmc2fmae.files import file_sha256
    from mmc2fmae.visualization import figures
    from mmc2fmae.visualization.figures import inputs

    checkpoints = getattr(args, 'checkpoints', [])
    args.labels = inputs.choose_names(
        getattr(args, 'labels', None), [inputs.label_of(path) for path in checkpoints], 'labels'
    )
    args.checkpoints = [find_checkpoint(path) for path in checkpoints]
    drawn = DRAW[args.figure](args)
    record = dict(vars(args))
    record['checkpoints'] = [
        dict(path=str(path), sha256=file_sha256(path)) for path in args.checkpoints
    ]
    called = 'tools/figures.py' if Path(sys.argv[0]).stem == 'figures' else 'mmc2fmae'
    record['command'] = shlex.join([called, *sys.argv[1:]])
    written = figures.save_figure(drawn, args.out, record)
    print('\n'.join(f'wrote {path}' for path in written))
