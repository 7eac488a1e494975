"""Draw the paper's figures, as PNG and PDF, from any checkpoint and any images."""

import argparse
import shlex
import sys

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.checkpoints import options
from mmc2fmae.checkpoints.finding import find_checkpoint
from mmc2fmae.files import file_sha256
from mmc2fmae.preparation.folders import find_classes
from mmc2fmae.visualization import figures
from mmc2fmae.visualization.colours import class_names
from mmc2fmae.visualization.figures import inputs
from mmc2fmae.visualization.figures.autoencoder import Autoencoder
from mmc2fmae.visualization.figures.page import WIDTH


def draw_attention(args: argparse.Namespace) -> figures.Page:
    """Draw Figure 1."""
    photos = inputs.find_photographs(args.images)
    looks = [
        figures.look_at(path, photos, label, args.block, args.size, **options.stated(args))
        for path, label in zip(args.checkpoints, args.labels, strict=True)
    ]
    names = inputs.choose_names(args.names, [path.stem for path in photos], 'names')
    return figures.draw_attention(
        looks, names, args.query, args.heads, args.style, args.shared_scale, args.width
    )


def draw_components(args: argparse.Namespace) -> figures.Page:
    """Draw principal components of patch features."""
    photos = inputs.find_photographs(args.images)
    features = [
        figures.patch_features(path, photos, label, args.block, args.size, **options.stated(args))
        for path, label in zip(args.checkpoints, args.labels, strict=True)
    ]
    names = inputs.choose_names(args.names, [path.stem for path in photos], 'names')
    return figures.draw_components(features, names, args.foreground, args.width)


def draw_curricula(args: argparse.Namespace) -> figures.Page:
    """Draw Figure 3."""
    curricula = [figures.find_curriculum(source) for source in args.curricula]
    return figures.draw_curricula(curricula, args.epochs, args.width)


def draw_masked(args: argparse.Namespace) -> figures.Page:
    """Draw Figure 4."""
    (autoencoder,) = load(args)
    return figures.draw_masked_predictions(
        autoencoder,
        find_samples(args, autoencoder),
        args.visible,
        args.draws,
        args.concentration,
        args.target_stats,
        find_class_names(args, autoencoder),
        args.seed,
        args.width,
    )


def draw_cross(args: argparse.Namespace) -> figures.Page:
    """Draw Figures 5 and 6."""
    autoencoders = load(args)
    return figures.draw_cross_predictions(
        autoencoders,
        find_samples(args, autoencoders[0]),
        args.granularity,
        args.tokens,
        args.target_stats,
        find_class_names(args, autoencoders[0]),
        args.seed,
        args.width,
    )


def draw_samples(args: argparse.Namespace) -> figures.Page:
    """Draw samples of a dataset."""
    samples = find_samples(args)
    names = find_classes('', args.classes)[0] if args.classes else class_names(args.data_root, None)
    return figures.draw_samples(samples, names, args.across, args.size, args.width)


def load(args: argparse.Namespace) -> list[Autoencoder]:
    """Load the autoencoders of the command line."""
    return [
        figures.load_autoencoder(path, label, args.config)
        for path, label in zip(args.checkpoints, args.labels, strict=True)
    ]


def find_samples(
    args: argparse.Namespace, autoencoder: Autoencoder | None = None
) -> list[inputs.Sample]:
    """Find the samples of the command line, by default those of the model's training."""
    if args.images:
        samples = inputs.samples_of_photographs(args.images, dict(args.maps))
    else:
        spec = dict(type='MultiGranularDataset')
        if autoencoder:
            spec = autoencoder.cfg.train_dataloader.dataset.to_dict()
            if not (args.data_root or args.config):
                print(f'samples of {spec.get("data_root")}, which the checkpoint names')
        spec |= dict(data_root=args.data_root) if args.data_root else {}
        spec |= dict(data_prefix=dict(args.data_prefix), ann_file='') if args.data_prefix else {}
        samples = inputs.samples_of_dataset(spec, args.samples)
    args.shown = [sample.files for sample in samples]
    names = inputs.choose_names(args.names, [sample.name for sample in samples], 'names')
    return [sample._replace(name=name) for sample, name in zip(samples, names, strict=True)]


def find_class_names(args: argparse.Namespace, autoencoder: Autoencoder) -> tuple[str, ...]:
    """Return the names of the semantic classes, () where nobody tells."""
    return find_classes('', args.classes)[0] if args.classes else autoencoder.class_names


def pair(text: str) -> tuple[str, str]:
    """Read GRANULARITY=FOLDER."""
    name, sign, folder = text.partition('=')
    if not (name and sign and folder):
        raise argparse.ArgumentTypeError(f'{text!r}: expected GRANULARITY=FOLDER')
    return name, folder


def positive(text: str) -> int:
    """Read a number above 0."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f'{text!r}: expected a number above 0')
    return int(text)


def add_photographs(parser: argparse.ArgumentParser) -> None:
    """Add options of figures that look at photographs alone."""
    parser.add_argument(
        'checkpoints', nargs='+', help='checkpoints of this project, MAE, timm, ...'
    )
    parser.add_argument(
        '--images', nargs='+', required=True, help='photographs, or folders of them'
    )
    parser.add_argument(
        '--size', type=positive, help="side of the input in pixels (the checkpoint's)"
    )
    options.add_statement_arguments(parser)


def add_samples(parser: argparse.ArgumentParser) -> None:
    """Add options of figures that need photographs with their maps."""
    parser.add_argument('--images', nargs='+', help='photographs, or folders of them')
    pairs = dict(nargs='+', type=pair, default=[])
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
        '--samples', type=positive, default=6, help='samples, evenly over the dataset'
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
    parser.add_argument('--seed', type=int, default=0, help='seed of the masks')
    parser.add_argument(
        '--no-target-stats',
        dest='target_stats',
        action='store_false',
        help="show normalised pixel predictions as they are, without the target's statistics",
    )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='figure', required=True)

    def add(name: str, draw, about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(draw=draw)
        command.add_argument(
            '--out', required=True, help='OUT.png, OUT.pdf and OUT.json are written'
        )
        command.add_argument(
            '--width', type=float, default=WIDTH, help='most inches across (7.16, two columns)'
        )
        if name != 'curriculum':
            command.add_argument('--names', nargs='+', help="names of the images (their files')")
        if name not in ('curriculum', 'samples'):
            command.add_argument(
                '--labels', nargs='+', help="names of the checkpoints (the files')"
            )
        return command

    command = add('attention', draw_attention, 'Figure 1: where checkpoints look, side by side')
    add_photographs(command)
    command.add_argument(
        '--query', nargs='+', default=['cls'], metavar='cls|mean|ROW,COLUMN',
        help='class token, mean over all patches, or patches by row and column from 0',
    )  # fmt: skip
    command.add_argument('--block', type=int, default=-1, help='from 0; -1 is the last')
    command.add_argument('--heads', default='mean', help="'mean', 'each', or numbers: 0,3")
    command.add_argument('--style', nargs='+', default=['overlay'], choices=['overlay', 'heat'])
    command.add_argument(
        '--shared-scale', action='store_true', help='one scale for all maps, with a colour bar'
    )

    command = add('curriculum', draw_curricula, 'Figure 3: curves of the masking curriculum')
    command.add_argument(
        'curricula', nargs='*', default=['SG-IG-RD'],
        help='presets such as SG-IG-RD, configs, checkpoints, work dirs',
    )  # fmt: skip
    command.add_argument('--epochs', type=positive, help='label the axis with this many epochs')

    command = add('reconstruct', draw_masked, 'Figure 4: predictions under random masks')
    add_autoencoders(command, several=False)
    command.add_argument('--visible', type=positive, help="visible tokens (the training's)")
    command.add_argument('--draws', type=positive, default=1, help='masks for each sample')
    command.add_argument(
        '--concentration', type=float, default=1e3,
        help='how alike the granularities share the visible tokens: 1 as in training (1000)',
    )  # fmt: skip

    command = add('cross', draw_cross, 'Figure 5: one granularity in, the others predicted')
    add_autoencoders(command, several=True)
    command.add_argument(
        '--granularity', nargs='+', default=['rgb'], help='what is seen, each alone'
    )
    command.add_argument('--tokens', type=positive, help='how many of its tokens (all)')

    command = add('sparse', draw_cross, 'Figure 6: few tokens of a mask in, the others predicted')
    add_autoencoders(command, several=True)
    command.add_argument(
        '--granularity',
        nargs='+',
        default=['instance', 'semantic'],
        help='what is seen, each alone',
    )
    command.add_argument('--tokens', type=positive, default=32, help='how many of its tokens (32)')

    command = add('samples', draw_samples, 'Samples of a dataset: photographs and maps')
    add_samples(command)
    command.add_argument('--across', type=positive, default=2, help='samples in a row')
    command.add_argument('--size', type=positive, default=224, help='side of a picture in pixels')

    command = add('pca', draw_components, 'Patch features as colours: principal components')
    add_photographs(command)
    command.add_argument('--block', type=int, help='after which block, from 0; the last one')
    command.add_argument(
        '--foreground', type=float, metavar='SHARE',
        help='draw objects alone: first component above this share of its range, such as 0.5',
    )  # fmt: skip
    return parser


def main() -> None:
    """Parse the command line and draw."""
    parser = build_parser()
    args = parser.parse_args()
    try:
        checkpoints = getattr(args, 'checkpoints', [])
        args.labels = inputs.choose_names(
            getattr(args, 'labels', None), [inputs.label_of(path) for path in checkpoints], 'labels'
        )
        args.checkpoints = [find_checkpoint(path) for path in checkpoints]
        drawn = args.draw(args)
        record = {key: value for key, value in vars(args).items() if key != 'draw'}
        record['checkpoints'] = [
            dict(path=str(path), sha256=file_sha256(path)) for path in args.checkpoints
        ]
        record['command'] = shlex.join(['tools/figures.py', *sys.argv[1:]])
        written = figures.save_figure(drawn, args.out, record)
    except (ValueError, OSError) as error:
        parser.exit(1, f'error: {error}\n')
    print('\n'.join(f'wrote {path}' for path in written))


if __name__ == '__main__':
    main()
