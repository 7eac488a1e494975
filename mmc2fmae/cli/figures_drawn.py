"""Each figure of `mmc2fmae figures`, from the command line's arguments to a page."""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from matplotlib.figure import Figure

from mmc2fmae.cli.checkpoint_options import stated
from mmc2fmae.preparation.folders import find_classes
from mmc2fmae.visualization import figures
from mmc2fmae.visualization.colours import class_names
from mmc2fmae.visualization.figures import inputs
from mmc2fmae.visualization.figures.autoencoder import Autoencoder

Item = TypeVar('Item')

MOST = 50
"""Photographs in a figure: a page of more has hundreds of megapixels, and nobody sees them."""


def few(items: list[Item]) -> list[Item]:
    """Return photographs or samples to draw.

    Raises:
        ValueError: There are more than a page holds.
    """
    if len(items) > MOST:
        raise ValueError(
            f'{len(items):,} photographs for one figure, which holds {MOST}: name some of them '
            '(--images A.jpg B.jpg, or a list of paths, LIST.txt), or give a smaller --samples'
        )
    return items


def draw_attention(args: argparse.Namespace) -> figures.Page:
    """Draw Figure 1."""
    photos = few(inputs.find_photographs(args.images))
    looks = [
        figures.look_at(path, photos, label, args.block, args.size, **stated(args))
        for path, label in zip(args.checkpoints, args.labels, strict=True)
    ]
    names = inputs.choose_names(args.names, [path.stem for path in photos], 'names')
    return figures.draw_attention(
        looks,
        names,
        queries=args.query,
        heads=args.heads,
        styles=args.style,
        shared_scale=args.shared_scale,
        width=args.width,
    )


def draw_components(args: argparse.Namespace) -> figures.Page:
    """Draw principal components of patch features."""
    photos = few(inputs.find_photographs(args.images))
    features = [
        figures.patch_features(path, photos, label, args.block, args.size, **stated(args))
        for path, label in zip(args.checkpoints, args.labels, strict=True)
    ]
    names = inputs.choose_names(args.names, [path.stem for path in photos], 'names')
    return figures.draw_components(features, names, args.foreground, args.width)


def draw_curricula(args: argparse.Namespace) -> Figure:
    """Draw Figure 3, and print what the masks hide."""
    trainings = [figures.find_masking(source) for source in args.curricula]
    found = [training.watch(args.samples, args.data_root) for training in trainings]
    print(figures.table_of([training.name for training in trainings], found))
    print(_ABOUT_CURRICULA)
    return figures.draw_curricula(trainings, found, args.epochs, args.width)


_ABOUT_CURRICULA = (
    'In %: masked patches that semantic-guided (SG), instance-guided (IG) and random (RD) masks '
    'explain; samples with objects of which no token is visible (hidden). Top-k gives all patches '
    'to a coefficient above 0.5 (docs/paper_notes.md).'
)


def draw_masked(args: argparse.Namespace) -> figures.Page:
    """Draw Figure 4."""
    (autoencoder,) = load(args)
    return figures.draw_masked_predictions(
        autoencoder,
        find_samples(args, autoencoder),
        num_visible=args.visible,
        draws=args.draws,
        concentration=args.concentration,
        target_stats=args.target_stats,
        class_names=find_class_names(args, autoencoder),
        seed=args.seed,
        width=args.width,
    )


def draw_cross(args: argparse.Namespace) -> figures.Page:
    """Draw Figures 5 and 6."""
    autoencoders = load(args)
    return figures.draw_cross_predictions(
        autoencoders,
        find_samples(args, autoencoders[0]),
        seen=args.granularity,
        tokens=args.tokens,
        target_stats=args.target_stats,
        class_names=find_class_names(args, autoencoders[0]),
        seed=args.seed,
        width=args.width,
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
        samples = few(inputs.samples_of_photographs(args.images, dict(args.maps)))
    else:
        spec: dict[str, Any] = dict(type='MultiGranularDataset')
        if autoencoder:
            spec = autoencoder.cfg.train_dataloader.dataset.to_dict()
            if not (args.data_root or args.config):
                print(f'samples of {spec.get("data_root")}, which the checkpoint names')
        spec |= dict(data_root=args.data_root) if args.data_root else {}
        spec |= dict(data_prefix=dict(args.data_prefix), ann_file='') if args.data_prefix else {}
        samples = few(inputs.samples_of_dataset(spec, args.samples))
    args.shown = [sample.files for sample in samples]
    names = inputs.choose_names(args.names, [sample.name for sample in samples], 'names')
    return [sample._replace(name=name) for sample, name in zip(samples, names, strict=True)]


def find_class_names(args: argparse.Namespace, autoencoder: Autoencoder) -> tuple[str, ...]:
    """Return the names of the semantic classes, () where nobody tells."""
    return find_classes('', args.classes)[0] if args.classes else autoencoder.class_names


DRAW: dict[str, Callable[[argparse.Namespace], figures.Page | Figure]] = {
    'attention': draw_attention,
    'curriculum': draw_curricula,
    'reconstruct': draw_masked,
    'cross': draw_cross,
    'sparse': draw_cross,
    'samples': draw_samples,
    'pca': draw_components,
}
"""What draws each figure."""
