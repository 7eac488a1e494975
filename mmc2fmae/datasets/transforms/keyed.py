"""Draws of any framework's transforms, keyed by seed, epoch and sample."""

import random

import numpy as np
import torch
from mmcv.transforms import TRANSFORMS, BaseTransform

from mmc2fmae.datasets.progress import DataProgress


@TRANSFORMS.register_module()
class KeyedRandomness(BaseTransform):
    """First step of a fine-tuning pipeline: seed the global generators for this very sample.

    The transforms of mmpretrain and mmdet draw from Python's, NumPy's and PyTorch's global
    generators. Seeded by (seed, epoch, sample), they repeat with any number of workers and after
    an interruption. :class:`~mmc2fmae.engine.KeyedRandomnessHook` sets seed and epoch.
    """

    def __init__(self) -> None:
        self.progress = DataProgress()

    def transform(self, results: dict) -> dict:
        """Seed the generators; the sample is untouched."""
        first, second, third = self.progress.rng(results['sample_idx']).integers(2**32, size=3)
        random.seed(int(first))
        np.random.seed(int(second))
        torch.manual_seed(int(third))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
