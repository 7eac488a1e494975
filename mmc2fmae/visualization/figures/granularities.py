"""What an autoencoder predicts from what it sees (Figures 4, 5 and 6)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmc2fmae.masking import random_mask, sample_visible_counts
from mmc2fmae.visualization.colours import label_palette, legend_of, semantic_palette
from mmc2fmae.visualization.figures.autoencoder import Autoencoder
from mmc2fmae.visualization.figures.inputs import Sample
from mmc2fmae.visualization.figures.page import WIDTH, Page
from mmc2fmae.visualization.reconstruction import (
    hide_masked,
    masked_pixels,
    to_picture,
)

Masks = dict[str, Tensor]


def random_masks(
    granularities: Sequence[str],
    num_patches: int,
    num_visible: int,
    rng: np.random.Generator,
    concentration: float,
) -> Masks:
    """Draw random masks over all granularities (paper IV-D, Figure 4).

    Args:
        granularities: Names.
        num_patches: N.
        num_visible: Visible tokens over all granularities.
        rng: Random source.
        concentration: Of the Dirichlet distribution of the shares; see
            :func:`mmc2fmae.masking.sample_visible_counts`.

    Returns:
        (N,) booleans for each granularity, True where masked.

    Raises:
        ValueError: There are fewer tokens than ``num_visible``.
    """
    total = len(granularities) * num_patches
    if not 0 < num_visible <= total:
        raise ValueError(f'{num_visible} visible tokens: expected 1 to {total}')
    visible = sample_visible_counts(
        len(granularities), num_visible, num_patches, rng, concentration
    )
    masks = random_mask(num_patches - visible, num_patches, rng)
    return dict(zip(granularities, torch.from_numpy(masks), strict=True))


def single_masks(
    granularities: Sequence[str],
    num_patches: int,
    seen: str,
    tokens: int | None,
    rng: np.random.Generator,
) -> Masks:
    """Show tokens of one granularity alone (Figures 5 and 6).

    Args:
        granularities: Names.
        num_patches: N.
        seen: The granularity that is seen.
        tokens: How many of its tokens, at random places; None is all.
        rng: Random source.

    Returns:
        See :func:`random_masks`.

    Raises:
        ValueError: There is no such granularity, or it has fewer tokens.
    """
    if seen not in granularities:
        raise ValueError(f'granularity {seen!r}: the model reads {", ".join(granularities)}')
    tokens = num_patches if tokens is None else tokens
    if not 0 < tokens <= num_patches:
        raise ValueError(f'{tokens} visible tokens of {seen}: expected 1 to {num_patches}')
    masks = {name: torch.ones(num_patches, dtype=torch.bool) for name in granularities}
    masks[seen] = torch.from_numpy(random_mask(np.array([num_patches - tokens]), num_patches, rng))[
        0
    ]
    return masks


def predict(
    autoencoder: Autoencoder, inputs: dict[str, Tensor], masks: Sequence[Masks], target_stats: bool
) -> dict[str, Tensor]:
    """Predict all granularities of samples under their masks.

    Args:
        autoencoder: The model.
        inputs: What :meth:`Autoencoder.read` returned.
        masks: Masks of every sample.
        target_stats: Undo the normalisation of pixels with the target patches' mean and deviation.

    Returns:
        rgb (B, 3, H, W) in [0, 255], label maps (B, h, w).
    """
    stacked = {name: torch.stack([mask[name] for mask in masks]) for name in masks[0]}
    return autoencoder.model.reconstruct(dict(inputs=inputs, masks=stacked), target_stats)


class Painter:
    """Turns maps into pictures and remembers which classes a figure has shown.

    Args:
        names: Names of the semantic classes, () where they are not known.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.palette = semantic_palette(names)
        self.shown: set[int] = set()

    def paint(self, name: str, maps: Tensor, size: int) -> np.ndarray:
        """Return a map as a (size, size, 3) uint8 picture.

        Args:
            name: Its granularity.
            maps: rgb (3, H, W) in [0, 255], ids (h, w), or a quantity such as depth in [0, 1].
            size: Side of the picture in pixels.
        """
        if name == 'semantic':
            self.shown |= set(maps.unique().tolist())
        return to_picture(maps, size, self.palette if name == 'semantic' else label_palette())

    def legend(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return names and colours of the semantic ids that were shown."""
        return legend_of(sorted(self.shown), self.names, self.palette)


def fill_masked(original: np.ndarray, predicted: np.ndarray, mask: Tensor) -> np.ndarray:
    """Return a picture whose visible patches are the original's, masked ones the prediction's."""
    return np.where(masked_pixels(mask, len(original)), predicted, original)


def draw_masked_predictions(
    autoencoder: Autoencoder,
    samples: Sequence[Sample],
    num_visible: int | None = None,
    draws: int = 1,
    concentration: float = 1e3,
    target_stats: bool = True,
    class_names: Sequence[str] = (),
    seed: int = 0,
    width: float = WIDTH,
) -> Page:
    """Draw what is seen, predicted and true of every granularity under random masks (Figure 4).

    Args:
        autoencoder: The model.
        samples: Photographs with the maps of all granularities.
        num_visible: Visible tokens over all granularities, by default those of its training.
        draws: Masks for each sample, a row each.
        concentration: See :func:`random_masks`; 1 is that of the training, large values show every
            granularity alike.
        target_stats: See :func:`predict`.
        class_names: Names of the semantic classes.
        seed: Seed of the masks.
        width: Most inches across.

    Raises:
        FileNotFoundError: A sample lacks a map.
        ValueError: ``num_visible`` is out of range, or not known.
    """
    names, count = autoencoder.granularities, num_visible or autoencoder.num_visible
    if count is None:
        raise ValueError('the config does not say how many tokens are visible: give --visible')
    inputs, _ = autoencoder.read(samples, names)
    rows = [(i, draw) for i in range(len(samples)) for draw in range(draws)]
    masks = [
        random_masks(
            names,
            autoencoder.num_patches,
            count,
            np.random.default_rng([seed, i, draw]),
            concentration,
        )
        for i, draw in rows
    ]
    inputs = {name: maps[[i for i, _ in rows]] for name, maps in inputs.items()}
    predicted = predict(autoencoder, inputs, masks, target_stats)

    size, painter = inputs['rgb'].shape[-1], Painter(class_names)
    pictures: list[list[np.ndarray]] = []
    for row in range(len(rows)):
        pictures.append([])
        for name in names:
            original = painter.paint(name, inputs[name][row], size)
            guess = painter.paint(name, predicted[name][row], size)
            mask = masks[row][name]
            pictures[-1] += [
                hide_masked(original, mask),
                fill_masked(original, guess, mask),
                original,
            ]
    page = Page(
        [(name, ['visible', 'predicted', 'original']) for name in names],
        [samples[i].name for i, _ in rows],
        size,
        legend=painter.legend(),
        notes=[
            f'Visible: {count} of {len(names) * autoencoder.num_patches} tokens, random masks; '
            'predictions fill the masked patches.',
            _trained(autoencoder) if count != autoencoder.num_visible else '',
            _pixels([autoencoder], target_stats),
        ],
        captions=True,
        width=width,
    )
    for row, tiles in enumerate(pictures):
        for column, picture in enumerate(tiles):
            page.show(row, column, picture)
        for g, name in enumerate(names):
            page.caption(row, 3 * g, f'{int((~masks[row][name]).sum())} tokens')
    return page


def draw_cross_predictions(
    autoencoders: Sequence[Autoencoder],
    samples: Sequence[Sample],
    seen: Sequence[str] = ('rgb',),
    tokens: int | None = None,
    target_stats: bool = True,
    class_names: Sequence[str] = (),
    seed: int = 0,
    width: float = WIDTH,
) -> Page:
    """Draw what models predict of the other granularities from one alone (Figures 5 and 6).

    Args:
        autoencoders: Models that are compared.
        samples: Photographs with the maps that there are; those of ``seen`` must be among them.
        seen: The granularities that are seen, each alone.
        tokens: How many tokens of it, at random places; None is all.
        target_stats: See :func:`predict`.
        class_names: Names of the semantic classes.
        seed: Seed of the places of the tokens.
        width: Most inches across.

    Raises:
        FileNotFoundError: A sample lacks a map that is seen.
        ValueError: A model does not read what is seen, or has fewer tokens.
    """
    painter = Painter(class_names)
    groups: list[tuple[str, list[str]]] = []
    columns: list[list[np.ndarray]] = []
    truth: dict[str, list[np.ndarray]] = {}
    for name in seen:
        for number, autoencoder in enumerate(autoencoders):
            masks = [
                single_masks(
                    autoencoder.granularities,
                    autoencoder.num_patches,
                    name,
                    tokens,
                    np.random.default_rng([seed, i]),
                )
                for i in range(len(samples))
            ]
            inputs, absent = autoencoder.read(samples, [name])
            predicted = predict(autoencoder, inputs, masks, target_stats)
            size = inputs['rgb'].shape[-1]
            for key, maps in inputs.items():
                if key not in truth and key not in absent:
                    truth[key] = [painter.paint(key, part, size) for part in maps]
            if number == 0:
                heading = name if len(autoencoders) > 1 else f'{name} alone'
                groups.append((heading, ['seen']))
                columns.append(
                    [
                        hide_masked(painter.paint(name, maps, size), mask[name])
                        for maps, mask in zip(inputs[name], masks, strict=True)
                    ]
                )
            if len(autoencoders) > 1:
                groups.append((autoencoder.label, []))
            for other in predicted:
                if other != name:
                    groups[-1][1].append(other)
                    columns.append([painter.paint(other, m, size) for m in predicted[other]])
    if tokens is None and len(seen) == 1:  # it is there already, under "seen"
        truth.pop(seen[0])
    if truth:
        groups.append(('original', list(truth)))
        columns += truth.values()
    page = Page(
        groups,
        [sample.name for sample in samples],
        max(len(column[0]) for column in columns),
        legend=painter.legend(),
        notes=[
            f'Visible: {tokens or "all"} of {autoencoders[0].num_patches} tokens of one '
            'granularity, none of the others.',
            *dict.fromkeys(_trained(autoencoder) for autoencoder in autoencoders),
            _pixels(autoencoders, target_stats) if tuple(seen) != ('rgb',) else '',
        ],
        width=width,
    )
    for column, tiles in enumerate(columns):
        for row, picture in enumerate(tiles):
            page.show(row, column, picture)
    return page


def _trained(autoencoder: Autoencoder) -> str:
    if autoencoder.num_visible is None:
        return ''
    total = len(autoencoder.granularities) * autoencoder.num_patches
    return f'Trained with {autoencoder.num_visible} of {total} tokens.'


def _pixels(autoencoders: Sequence[Autoencoder], target_stats: bool) -> str:
    """Say what was done to predicted pixels that are normalised by their patch."""
    labels = [autoencoder.label for autoencoder in autoencoders if autoencoder.normalises]
    if not labels:
        return ''
    of = '' if len(labels) == len(autoencoders) else f' of {", ".join(labels)}'
    if target_stats:
        return f"Predicted pixels{of} are un-normalised with the target patch's mean and deviation."
    return f'Predicted pixels{of} are the raw normalised output, without statistics of the target.'
