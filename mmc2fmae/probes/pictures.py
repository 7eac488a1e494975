"""Reconstructions of a model in training, as one picture."""

import matplotlib

matplotlib.use('Agg')
import numpy as np
import torch
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmpretrain.models import MAE
from torch import Tensor, nn

from mmc2fmae.models import C2FMAE
from mmc2fmae.visualization.reconstruction import (
    draw_reconstructions,
    hide_masked,
    masked_pixels,
    to_picture,
)
from mmc2fmae.visualization.run import build_still_dataset


def require_pixels(model: nn.Module) -> None:
    """Check that a model predicts pixels.

    Raises:
        ValueError: It does not, so that there is nothing to draw.
    """
    if not isinstance(model, C2FMAE | MAE):
        raise ValueError(
            f'a {type(model).__name__} predicts no pixels, expected C2FMAE, MultiMAE or MAE: leave '
            '--probe-pictures out'
        )


def read_batch(cfg: Config, number: int) -> dict:
    """Read samples of the training data as they are drawn each time: centre crop, fixed masks.

    Args:
        cfg: Config of the run.
        number: Samples, evenly spaced over the data.
    """
    return default_collate(build_still_dataset(cfg, None, None).try_samples(number))


def draw(model: nn.Module, batch: dict) -> np.ndarray:
    """Draw one row a sample: visible, predicted and original.

    Args:
        model: The model, within :func:`mmc2fmae.probes.features.unchanged`.
        batch: Samples of :func:`read_batch`.

    Returns:
        (H, W, 3) uint8.
    """
    rows = len(batch['inputs']['rgb'])
    if isinstance(model, C2FMAE):
        width = 3 * len(model.data_preprocessor.granularities)
    else:
        width = 3
    figure = plt.figure(figsize=(1.35 * width, 1.45 * rows + 0.6), layout='constrained', dpi=100)
    (part,) = figure.subfigures(1, 1, squeeze=False).flat
    if isinstance(model, C2FMAE):
        draw_reconstructions(part, model, batch)
    else:
        _draw_mae(part, model, batch)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return picture


def reconstruct_mae(model: MAE, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstruct photographs with mmpretrain's MAE, which draws its masks itself.

    Args:
        model: The model.
        inputs: (B, 3, H, W) normalised.

    Returns:
        Pixels (B, 3, H, W) in [0, 255], and the masks, (B, N), True where masked.
    """
    torch.manual_seed(0)  # the same masks each time
    latent, masks, order = model.backbone(inputs)
    patches = model.neck(latent, order)
    if model.head.norm_pix:
        target = model.head.patchify(inputs)
        deviation = (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
        patches = patches * deviation + target.mean(dim=-1, keepdim=True)
    preprocessor = model.data_preprocessor
    pixels = model.head.unpatchify(patches) * preprocessor.std + preprocessor.mean
    return pixels.clamp(0, 255), masks.bool()


def _draw_mae(figure, model: MAE, batch: dict) -> None:
    images = batch['inputs']['rgb']
    predicted, masks = reconstruct_mae(model, model.data_preprocessor(batch)['inputs'])
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, mask in zip(range(len(images)), masks, strict=True):
        original = to_picture(images[row], images.shape[-1])
        full = to_picture(predicted[row], images.shape[-1])
        hidden = hide_masked(original, mask)
        filled = np.where(masked_pixels(mask, len(full)), full, original)
        for ax, picture in zip(axes[row], (hidden, filled, original), strict=True):
            ax.imshow(picture, interpolation='nearest')
            ax.axis('off')
    for ax, title in zip(axes[0], ('visible', 'predicted', 'original'), strict=True):
        ax.set_title(f'rgb\n{title}', fontsize=9)
    if model.head.norm_pix:
        note = "masked pixels un-normalised with the\ntarget patch's mean and deviation"
        figure.suptitle(note, fontsize=9)
