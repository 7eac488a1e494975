"""A small C2FMAE and batches for it."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmpretrain.registry import MODELS

import mmc2fmae  # noqa: F401

GRANULARITIES = dict(instance=dict(num_classes=4, stride=2), semantic=dict(num_classes=9, stride=2))


@pytest.fixture
def config():
    """Return the config of a C2FMAE for 32 x 32 images with 16 patches a granularity."""
    return dict(
        type='C2FMAE',
        backbone=dict(
            type='MultiGranularViT',
            arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
            img_size=32,
            patch_size=8,
            granularities=GRANULARITIES,
        ),
        neck=dict(type='CascadedDecoder', dims=16, num_heads=2, depth=1),
        head=dict(type='MultiGranularHead'),
    )


@pytest.fixture
def build():
    """Return a function that builds and initialises a model from its config."""

    def build_model(config, seed=0):
        MMLogger.get_instance('tests', log_level='ERROR')  # mmengine lists every tensor otherwise
        torch.manual_seed(seed)
        model = MODELS.build(config)
        model.init_weights()
        return model

    return build_model


def make_batch(size=32, patch=8, names=('rgb', 'instance', 'semantic'), visible=8, batch=3, seed=0):
    """Random images, label maps at stride 2 and masks with ``visible`` visible tokens a sample."""
    generator = torch.Generator().manual_seed(seed)
    n = (size // patch) ** 2
    order = torch.rand(batch, len(names) * n, generator=generator).argsort(1)
    masks = torch.ones(batch, len(names) * n, dtype=torch.bool)
    masks.scatter_(1, order[:, :visible], False)
    inputs = {}
    for name, classes in (('rgb', 256), ('instance', 4), ('semantic', 9)):
        shape = (batch, 3, size, size) if name == 'rgb' else (batch, size // 2, size // 2)
        maps = torch.randint(0, classes, shape, generator=generator, dtype=torch.uint8)
        if name in names:
            inputs[name] = maps
    return dict(inputs=inputs, masks=dict(zip(names, masks.split(n, dim=1), strict=True)))
