"""What a model sees of the objects under given masks."""

from collections.abc import Sequence
from math import isqrt

import numpy as np

from mmc2fmae.masking.strategies import patch_labels


def count_hidden(instance_maps: np.ndarray, masks: Sequence[np.ndarray]) -> tuple[int, int]:
    """Count the samples of which no granularity shows a token of an object (D4).

    Args:
        instance_maps: (B, h, w) instance ids, 0 for background.
        masks: (B, N) booleans of each granularity, True where masked.

    Returns:
        Samples without a visible object token, and samples that have an object at all: patches
        whose label (:func:`patch_labels`) is an instance.
    """
    count, height, width = instance_maps.shape
    cell = isqrt(height * width // masks[0].shape[1])
    labels = patch_labels(instance_maps.reshape(count * height, width), cell)
    objects = labels.reshape(count, -1) > 0
    seen = (objects & ~np.logical_and.reduce(masks)).any(axis=1)
    present = objects.any(axis=1)
    return int((present & ~seen).sum()), int(present.sum())
