"""Masked inputs and reconstructions of all granularities, as in the paper's Figure 4."""

import numpy as np
import torch
from matplotlib.figure import SubFigure
from torch import Tensor

from mmc2fmae.models import C2FMAE
from mmc2fmae.visualization.colours import label_palette

MASKED = np.array([170, 170, 170], dtype=np.uint8)
"""Colour of masked patches."""


def to_picture(maps: Tensor, size: int, palette: np.ndarray | None = None) -> np.ndarray:
    """Turn rgb (3, H, W) in [0, 255] or a map (h, w) into a (size, size, 3) uint8 picture.

    Args:
        maps: A photograph, a label map or a continuous map (floats in [0, 1], drawn grey).
        size: Side of the picture in pixels, a multiple of the map's.
        palette: (256, 3) uint8 colours of ids, by default :func:`label_palette`.
    """
    array = maps.cpu().numpy()
    if array.ndim == 3:
        picture = array.transpose(1, 2, 0).round().astype(np.uint8)
    elif array.dtype.kind == 'f':
        grey = (255 * array.clip(0, 1)).round().astype(np.uint8)
        picture = np.stack([grey] * 3, axis=2)
    else:
        picture = (label_palette() if palette is None else palette)[np.clip(array, 0, 255)]
    return picture.repeat(size // picture.shape[0], 0).repeat(size // picture.shape[1], 1)


def masked_pixels(mask: Tensor, size: int) -> np.ndarray:
    """Enlarge a (N,) mask, True where masked, to the pixels of a picture: (size, size, 1)."""
    side = round(len(mask) ** 0.5)
    pixels = mask.cpu().numpy().reshape(side, side)
    return pixels.repeat(size // side, 0).repeat(size // side, 1)[..., None]


def hide_masked(picture: np.ndarray, mask: Tensor) -> np.ndarray:
    """Grey out the masked patches of a (S, S, 3) picture; ``mask`` is (N,), True where masked."""
    return np.where(masked_pixels(mask, len(picture)), MASKED, picture)


@torch.no_grad()
def draw_reconstructions(
    figure: SubFigure, model: C2FMAE, batch: dict, target_stats: bool = True
) -> None:
    """Draw one row a sample: masked input, prediction and original of every granularity.

    Predictions replace masked patches only; visible patches are the input's.

    Args:
        figure: Where to draw.
        model: A C2FMAE in eval mode.
        batch: Collated batch with ``masks``.
        target_stats: Un-normalise predicted pixels by the target patches' mean and deviation; the
            title says so. False shows the model's raw normalised prediction around mid-grey.
    """
    names = model.data_preprocessor.granularities
    predicted = model.reconstruct(batch, target_stats)
    count, size = len(batch['inputs']['rgb']), batch['inputs']['rgb'].shape[-1]
    axes = figure.subplots(count, 3 * len(names), squeeze=False)
    for ax in axes.flat:
        ax.axis('off')
    for g, name in enumerate(names):
        for row in range(count):
            original = to_picture(batch['inputs'][name][row], size)
            mask = batch['masks'][name][row]
            visible = hide_masked(original, mask)
            full = to_picture(predicted[name][row], size)
            filled = np.where(masked_pixels(mask, size), full, original)
            for column, picture in enumerate((visible, filled, original)):
                axes[row, 3 * g + column].imshow(picture, interpolation='nearest')
        for column, title in enumerate(('visible', 'predicted', 'original')):
            axes[0, 3 * g + column].set_title(f'{name}\n{title}', fontsize=9)
    if 'rgb' not in model.head.normalised:
        note = 'masked pixels as predicted'
    elif target_stats:
        note = "masked pixels un-normalised with the target patch's mean and deviation"
    else:
        note = 'raw normalised pixel predictions, no target statistics'
    total = model.neck.num_patches * len(names)
    shown = total - int(sum(mask[0].sum() for mask in batch['masks'].values()))
    figure.suptitle(f'{shown} of {total} tokens visible; {note}', fontsize=9)
