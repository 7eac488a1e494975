"""Reconstructions of a model in training, as one picture."""

import matplotlib

matplotlib.use('Agg')
import numpy as np
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmengine.dataset import default_collate
from torch import nn

from mmc2fmae.visualization.reconstruction import (
    Reconstructing,
    draw_reconstructions,
    granularities_of,
)
from mmc2fmae.visualization.run import build_still_dataset


def require_pixels(model: nn.Module) -> None:
    """Check that a model predicts pixels.

    Raises:
        ValueError: It does not, so that there is nothing to draw.
    """
    if not isinstance(model, Reconstructing):
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


def draw(model: Reconstructing, batch: dict) -> np.ndarray:
    """Draw one row a sample: visible, predicted and original.

    Args:
        model: The model, within :func:`mmc2fmae.probes.features.unchanged`.
        batch: Samples of :func:`read_batch`.

    Returns:
        (H, W, 3) uint8.
    """
    rows = len(batch['inputs']['rgb'])
    width = 3 * len(granularities_of(model))
    figure = plt.figure(figsize=(1.35 * width, 1.45 * rows + 0.6), layout='constrained', dpi=100)
    (part,) = figure.subfigures(1, 1, squeeze=False).flat
    draw_reconstructions(part, model, batch)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return picture
