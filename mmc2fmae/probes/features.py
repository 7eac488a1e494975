"""Features of a model in training, computed by its plain ViT and without a trace in the model."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import MODELS
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call

from mmc2fmae.checkpoints import describe_module, describe_preprocessor
from mmc2fmae.engine.sharding import whole_tensor
from mmc2fmae.evaluation.features import split_tokens
from mmc2fmae.evaluation.image_files import ImageFiles
from mmc2fmae.parallel import in_threads
from mmc2fmae.paths import AnyPath


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Evaluate a model, then leave it and all random generators as they were.

    Args:
        model: The model in training, not wrapped.
    """
    modes = [(module, module.training) for module in model.modules()]
    states = random.getstate(), np.random.get_state()
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == 'cuda'})
    # A compiled part would be compiled once more, for the mode and the batch of a probe.
    compiled = {name: model.__dict__.pop(name) for name in _compiled(model)}
    with torch.random.fork_rng(devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.__dict__.update(compiled)
            for module, training in modes:
                module.training = training
            random.setstate(states[0])
            np.random.set_state(states[1])


def _compiled(model: nn.Module) -> list[str]:
    """Return the attributes of an instance that hide a method of its class."""
    return [name for name in ('autoencode', 'predict') if name in model.__dict__]


class Photographs:
    """The share of this process of some photographs, read once and kept as bytes.

    Args:
        paths: All photographs.
        model: A model with a ``data_preprocessor`` and a ViT as ``backbone``; they are prepared as
            for ``mmc2fmae knn``.
        skip: Leave out what cannot be read.

    Raises:
        ValueError: A photograph cannot be read, or the model has no such backbone.
    """

    def __init__(self, paths: Sequence[AnyPath], model: Any, skip: bool = False) -> None:
        vit = getattr(model, 'backbone', None)
        if not isinstance(vit, VisionTransformer):
            raise ValueError(
                f'probes look into a plain ViT, the backbone of this {type(model).__name__} is a '
                f'{type(vit).__name__}: leave --probe-health and --probe-knn out'
            )
        arch = describe_module(vit)
        preprocessing = describe_preprocessor(model.data_preprocessor, arch.img_size)
        if preprocessing is None:
            raise ValueError(
                'the data_preprocessor of this model has no mean and std, so that probes cannot '
                'prepare photographs: leave --probe-health and --probe-knn out'
            )
        self.patch = arch.patch_size
        self.grid = arch.grid
        self.weights = list(arch.shapes())
        # A ViT without memory, which computes with the weights of the one in training.
        with torch.device('meta'):
            self.twin = MODELS.get('PlainViT')(**arch.options())
        self.twin.eval()
        self.normalise = preprocessing.normalise
        own = list(paths)[get_rank() :: get_world_size()]
        files = ImageFiles(own, preprocessing.pixels(), named=skip)
        read: list[Any] = list(in_threads(files.__getitem__, range(len(own)), quiet=True))
        self.pixels = [pixels for pixels in read if not isinstance(pixels, str)]

    def tokens(self, model: Any, batch: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
        """Encode the photographs without masks.

        Args:
            model: The model in training, within :func:`unchanged`.
            batch: Photographs at a time.

        Yields:
            (B, N, D) patch tokens after the last block, and (B, N) mean brightness of the patches.
        """
        vit: VisionTransformer = model.backbone
        state = vit.state_dict()
        weights = {name: whole_tensor(state[name]) for name in self.weights}
        for first in range(0, len(self.pixels), batch):
            images = self.normalise(torch.stack(self.pixels[first : first + batch]))
            brightness = nn.functional.avg_pool2d(images.mean(dim=1, keepdim=True), self.patch)
            encoded = functional_call(self.twin, weights, images.to(vit.pos_embed.device))
            yield split_tokens(encoded[-1], self.grid)[1], brightness.flatten(1)
