"""Masked inputs and reconstructions of all granularities, as in the paper's Figure 4."""

from math import ceil
from typing import TypeAlias

import numpy as np
import torch
from matplotlib.figure import SubFigure
from mmpretrain.models import MAE
from torch import Tensor

from mmc2fmae.models import C2FMAE
from mmc2fmae.visualization.colours import label_palette

MASKED = np.array([170, 170, 170], dtype=np.uint8)
"""Colour of masked patches."""

Reconstructing: TypeAlias = C2FMAE | MAE
"""Models that predict pixels."""


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


def reconstruct_mae(model: MAE, inputs: Tensor, target_stats: bool = True) -> tuple[Tensor, Tensor]:
    """Reconstruct photographs with mmpretrain's MAE, which draws its masks itself.

    Args:
        model: The model.
        inputs: (B, 3, H, W) normalised.
        target_stats: See :func:`draw_reconstructions`.

    Returns:
        Pixels (B, 3, H, W) in [0, 255], and the masks, (B, N), True where masked.
    """
    torch.manual_seed(0)  # the same masks each time
    latent, masks, order = model.backbone(inputs)
    patches = model.neck(latent, order)
    if model.head.norm_pix and target_stats:
        target = model.head.patchify(inputs)
        deviation = (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
        patches = patches * deviation + target.mean(dim=-1, keepdim=True)
    preprocessor = model.data_preprocessor
    pixels = model.head.unpatchify(patches) * preprocessor.std + preprocessor.mean
    return pixels.clamp(0, 255), masks.bool()


def granularities_of(model: Reconstructing) -> list[str]:
    """Return what a model reconstructs, rgb first."""
    return model.data_preprocessor.granularities if isinstance(model, C2FMAE) else ['rgb']


@torch.no_grad()
def draw_reconstructions(
    figure: SubFigure,
    model: Reconstructing,
    batch: dict,
    target_stats: bool = True,
    across: int = 1,
) -> None:
    """Draw masked input, prediction and original of every granularity, side by side.

    Predictions replace masked patches only; visible patches are the input's.

    Args:
        figure: Where to draw.
        model: A model in eval mode.
        batch: Collated batch, with ``masks`` unless the model draws them.
        target_stats: Un-normalise predicted pixels by the target patches' mean and deviation; the
            title says so. False shows the model's raw normalised prediction around mid-grey.
        across: Samples in one row.
    """
    if isinstance(model, C2FMAE):
        predicted, masks = model.reconstruct(batch, target_stats), batch['masks']
        normalised = 'rgb' in model.head.normalised
    else:
        inputs = model.data_preprocessor(batch)['inputs']
        pixels, hidden = reconstruct_mae(model, inputs, target_stats)
        predicted, masks, normalised = dict(rgb=pixels), dict(rgb=hidden), model.head.norm_pix
    names = granularities_of(model)
    count, size = len(batch['inputs']['rgb']), batch['inputs']['rgb'].shape[-1]
    axes = figure.subplots(ceil(count / across), 3 * len(names) * across, squeeze=False)
    for ax in axes.flat:
        ax.axis('off')
    for g, name in enumerate(names):
        for sample in range(count):
            row, first = sample // across, 3 * (len(names) * (sample % across) + g)
            original = to_picture(batch['inputs'][name][sample], size)
            mask = masks[name][sample]
            visible = hide_masked(original, mask)
            full = to_picture(predicted[name][sample], size)
            filled = np.where(masked_pixels(mask, size), full, original)
            shown = dict(visible=visible, predicted=filled, original=original)
            for column, (title, picture) in enumerate(shown.items()):
                axes[row, first + column].imshow(picture, interpolation='nearest')
                if row == 0:
                    axes[row, first + column].set_title(f'{name}\n{title}', fontsize=9)
    if not normalised:
        note = 'masked pixels as predicted'
    elif target_stats:
        note = "masked pixels un-normalised with the target patch's mean and deviation"
    else:
        note = 'raw normalised pixel predictions, no target statistics'
    narrow = len(names) * across == 1
    total = sum(mask.shape[1] for mask in masks.values())
    seen = total - int(sum(mask[0].sum() for mask in masks.values()))
    figure.suptitle(
        f'{seen} of {total} tokens visible;{chr(10) if narrow else " "}{note}', fontsize=9
    )
