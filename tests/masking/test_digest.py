"""Masks as printed stay the same, bit for bit: runs of before can be repeated and resumed."""

import hashlib

import numpy as np
import pytest

from mmc2fmae.datasets.progress import DataProgress
from mmc2fmae.datasets.transforms import ProgressiveMasking

# Taken at commit 9f596b4, before there was a choice of blends.
CASES = [
    (dict(curriculum='SG-IG-RD'), '185e04475f6d9932'),
    (dict(curriculum='IG-SG-RD', min_area=9, max_instances=2), '931110ce308ce31d'),
    (dict(curriculum='RD-IG-SG', num_visible=147, class_weights={5: 3.0}), 'e179effed99425fe'),
    (dict(curriculum='RD'), 'ff861e5aa841b06e'),
    # All three strategies at once, none with the majority.
    (
        dict(curriculum=dict(alpha_s=[(0, 0.45), (1, 0.2)], alpha_i=[(0, 0.3)]), alpha=0.6),
        '9328d35909aa7d1e',
    ),
]


def draw_all(masking: ProgressiveMasking) -> bytes:
    """Masks of 8 samples at 21 points of the curriculum, as bits."""
    progress, bits = DataProgress(), []
    blocks = np.ones((9, 9), np.uint8)
    for step in range(21):
        progress.set(seed=3, epoch=step, t=step / 20)
        for index in range(8):
            maps = np.random.Generator(np.random.Philox(key=[9, index]))
            coarse = maps.integers(0, (133, 2 + index), (7, 7, 2), dtype=np.uint8)
            semantic, instance = (np.kron(coarse[..., i], blocks)[:56, :56] for i in (0, 1))
            sample = dict(
                rgb=np.broadcast_to(np.uint8(0), (224, 224, 3)),
                semantic=semantic,
                instance=instance * (instance % 2),
                granularities=['rgb', 'instance', 'semantic'],
                rng=progress.rng(index),
                progress=progress.t,
            )
            masks = masking.transform(sample)['masks']
            bits.append(np.packbits(np.stack(list(masks.values()))).tobytes())
    return b''.join(bits)


@pytest.mark.parametrize(('options', 'digest'), CASES)
def test_masks_of_the_printed_method_are_those_of_before(options, digest):
    bits = draw_all(ProgressiveMasking(**options))
    assert hashlib.sha256(bits).hexdigest()[:16] == digest
