"""Time the masking of one sample: patch labels, token budget, three granularities, top-k."""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.datasets import ProgressiveMasking
from mmc2fmae.env import collect


def make_samples(count: int, rng: np.random.Generator) -> list[dict]:
    """Draw label maps at stride 4 of a 224 x 224 image, regions not aligned with patches."""
    samples = []
    for _ in range(count):
        blocks = np.ones((9, 9), np.uint8)
        samples.append(
            dict(
                rgb=np.broadcast_to(np.uint8(0), (224, 224, 3)),
                semantic=np.kron(rng.integers(0, 133, (7, 7), dtype=np.uint8), blocks)[:56, :56],
                instance=np.kron(rng.integers(0, 6, (7, 7), dtype=np.uint8), blocks)[:56, :56],
                granularities=['rgb', 'instance', 'semantic'],
                rng=rng,
            )
        )
    return samples


def main() -> None:
    """Print microseconds a sample at several points of the curriculum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--samples', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--json', type=Path, help='file for all figures')
    args = parser.parse_args()
    torch.set_num_threads(1)
    masking = ProgressiveMasking()
    samples = make_samples(args.samples, np.random.default_rng(0))
    print('microseconds a sample on one core, 3 x 14 x 14 patches, V = 98 (median of rounds)')
    medians = {}
    for t in (i / 8 for i in range(9)):
        times = []
        for _ in range(args.rounds + 1):
            start = time.process_time()
            for sample in samples:
                sample['progress'] = t
                masking.transform(sample)
            times.append((time.process_time() - start) / len(samples) * 1e6)
        alpha_s, alpha_i = masking.curriculum(t)
        medians[t] = statistics.median(times[1:])
        print(f't = {t:.3f} (alpha_S {alpha_s:.2f}, alpha_I {alpha_i:.2f}): {medians[t]:.0f} us')
    if args.json:
        result = dict(environment=collect(), us_a_sample=medians)
        args.json.write_text(json.dumps(result, indent=2))


if __name__ == '__main__':
    main()
