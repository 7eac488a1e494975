"""A tiny multi-granular dataset on disk and its pipeline."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_sample(root: Path, name: str, size=(48, 40), seed=0, instance_dtype=np.uint8) -> None:
    """Write a photograph of ``size`` (width, height) with instance and semantic maps."""
    rng = np.random.default_rng(seed)
    width, height = size
    arrays = {
        f'train/{name}.JPEG': rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        f'instance/train/{name}.png': rng.integers(0, 4, (height, width)).astype(instance_dtype),
        f'semantic/train/{name}.png': rng.integers(0, 9, (height, width), dtype=np.uint8),
    }
    for path, array in arrays.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(target)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Six samples in two class folders."""
    for i in range(6):
        write_sample(tmp_path, f'n0000000{i % 2}/img_{i}', seed=i)
    return tmp_path


@pytest.fixture
def pipeline() -> list[dict]:
    """The training pipeline at 32 pixels, patch 8, stride 2."""
    return [
        dict(type='LoadMultiGranular', num_classes=dict(semantic=9)),
        dict(type='JointRandomResizedCrop', size=32, label_stride=2),
        dict(type='JointRandomFlip'),
        dict(type='CanonicalInstances', num_instances=4),
        dict(type='ProgressiveMasking', patch_size=8, num_visible=8),
        dict(type='PackMultiGranular'),
    ]
