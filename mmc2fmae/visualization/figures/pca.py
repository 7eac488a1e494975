"""Patch features as colours: their first three principal components."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmc2fmae.checkpoints import build_backbone
from mmc2fmae.evaluation.features import FeatureOptions, compute_features
from mmc2fmae.evaluation.image_files import ImageFiles
from mmc2fmae.visualization.figures.attention import to_photo
from mmc2fmae.visualization.figures.page import WIDTH, Page

BACKGROUND = 255
"""Grey value of patches that are not drawn."""


def principal_components(features: Tensor, count: int) -> Tensor:
    """Project features on their first principal components.

    Args:
        features: (K, D).
        count: Components, at most D.

    Returns:
        (K, count) float64 scores. A component's sign is such that its largest loading is positive:
        equal features give equal pictures.
    """
    centred = features.double() - features.double().mean(dim=0)
    _, axes = torch.linalg.eigh(centred.T @ centred)
    axes = axes.flip(1)[:, :count]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return centred @ (axes * largest.sign())


def to_unit_range(scores: Tensor) -> Tensor:
    """Map each column of (K, C) scores to [0, 1], its 1st and 99th percentile to the ends."""
    low, high = np.percentile(scores.numpy(), (1, 99), axis=0)
    span = np.maximum(high - low, np.finfo(float).tiny)
    return torch.from_numpy(np.clip((scores.numpy() - low) / span, 0, 1))


def is_foreground(scores: Tensor, threshold: float) -> Tensor:
    """Tell objects from their surroundings by the first component alone.

    Objects are the end that is rarer along the edges of the images.

    Args:
        scores: (B, h, w) scores of the first component.
        threshold: Share of the range, from 0 to 1, above which a patch belongs to an object.

    Returns:
        (B, h, w) booleans.
    """
    unit = to_unit_range(scores.reshape(-1, 1)).reshape(scores.shape)
    edge = torch.ones(scores.shape[1:], dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    if unit[:, edge].mean() > unit[:, ~edge].mean():
        unit = 1 - unit
    return unit > threshold


def component_colours(features: Tensor, threshold: float | None = None) -> np.ndarray:
    """Colour patches by the first three principal components over all images.

    Args:
        features: (B, h, w, D) patch features.
        threshold: Draw objects alone; see :func:`is_foreground`. The components are then the
            objects' own.

    Returns:
        (B, h, w, 3) uint8; patches that are left out are white.

    Raises:
        ValueError: The threshold leaves less than four patches.
    """
    flat = features.flatten(0, 2)
    kept = torch.ones(len(flat), dtype=torch.bool)
    if threshold is not None:
        first = principal_components(flat, 1).view(features.shape[:3])
        kept = is_foreground(first, threshold).flatten()
        if kept.sum() < 4:
            raise ValueError(
                f'a foreground threshold of {threshold:g} keeps {int(kept.sum())} of {len(flat)} '
                'patches: lower it'
            )
    colours = torch.full((len(flat), 3), BACKGROUND, dtype=torch.uint8)
    scores = to_unit_range(principal_components(flat[kept], 3))
    colours[kept] = (255 * scores).round().byte()
    return colours.view(*features.shape[:3], 3).numpy()


@dataclass
class Features:
    """The patch features of one checkpoint.

    Attributes:
        label: What the checkpoint is called in a figure.
        patches: (B, h, w, D).
        photos: The (H, W, 3) uint8 pixels that it saw.
    """

    label: str
    patches: Tensor
    photos: list[np.ndarray]


def patch_features(
    checkpoint: str | Path,
    images: Sequence[Path],
    label: str,
    block: int | None = None,
    size: int | None = None,
    **stated: Any,
) -> Features:
    """Compute the patch features of a checkpoint.

    Args:
        checkpoint: Checkpoint of any house; see :func:`mmc2fmae.checkpoints.read_backbone`.
        images: Photographs.
        label: What to call it in a figure.
        block: After which block, from 0; the last one by default, after its norm.
        size: Side of the input in pixels, by default the checkpoint's own.
        **stated: What the checkpoint does not say.

    Raises:
        ValueError: The block, the size or an image is wrong.
        CheckpointMismatch: The file is no checkpoint of a ViT.
    """
    vit, preprocessing = build_backbone(checkpoint, **stated)
    options = FeatureOptions(
        tokens=('patches',),
        blocks=() if block is None else (block,),
        size=size,
        batch_size=8,
        workers=0,
    )
    (patches,) = compute_features(vit, preprocessing, images, options).values()
    files = ImageFiles(images, preprocessing.transform(size))
    photos = [to_photo(files.read(i), preprocessing) for i in range(len(files))]
    return Features(label, patches, photos)


def draw_components(
    features: Sequence[Features],
    names: Sequence[str],
    threshold: float | None = None,
    width: float = WIDTH,
) -> Page:
    """Draw a row for each image, a column for each checkpoint.

    Args:
        features: Results of :func:`patch_features`.
        names: Names of the images.
        threshold: See :func:`component_colours`.
        width: Most inches across.
    """
    said = 'First three principal components of the patch features over all images as red, green, '
    said += 'blue; 1st to 99th percentile.'
    if threshold is not None:
        said += f' Objects alone: first component above {threshold:g} of its range.'
    page = Page(
        [('', ['input', *(part.label for part in features)])],
        names,
        max(len(part.photos[0]) for part in features),
        notes=[said],
        width=width,
    )
    for row, photo in enumerate(features[0].photos):
        page.show(row, 0, photo)
    for column, part in enumerate(features, 1):
        colours = component_colours(part.patches, threshold)
        cell = len(part.photos[0]) // colours.shape[1]
        for row, picture in enumerate(colours):
            page.show(row, column, picture.repeat(cell, 0).repeat(cell, 1))
    return page
