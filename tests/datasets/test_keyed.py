import random

import numpy as np
import torch

from mmc2fmae.datasets import KeyedRandomness


def draws(transform, index):
    transform(dict(sample_idx=index))
    return random.random(), np.random.rand(), float(torch.rand(()))


def test_draws_depend_on_seed_epoch_and_sample_alone():
    transform = KeyedRandomness()
    transform.progress.set(seed=3, epoch=5, t=0)
    first = draws(transform, 7)
    draws(transform, 8)
    assert draws(transform, 7) == first
    others = [draws(transform, 8)]
    for seed, epoch in ((4, 5), (3, 6)):
        transform.progress.set(seed=seed, epoch=epoch, t=0)
        others.append(draws(transform, 7))
    assert all(a != b for other in others for a, b in zip(first, other, strict=True))
