"""One training step of a config, as mmengine's runner does it, without data loading and hooks."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor
from torch.utils.data import DataLoader

from mmc2fmae import configs
from mmc2fmae.engine.launch import unsync_norms


def read_config(name: str, compile: bool | Mapping[str, object] = False) -> Config:
    """Read a config of the project.

    Args:
        name: As `mmc2fmae configs` lists it.
        compile: Whether, or with which options, the model compiles its static parts.
    """
    cfg = configs.read(name)
    if compile:
        cfg.model.compile = compile
    return cfg


def build_model(cfg: Config, device: torch.device) -> BaseModel:
    """Build the model of a config on a device, ready for training, with its initial weights."""
    spec = ConfigDict(cfg.model.to_dict())
    if not torch.distributed.is_initialized():
        unsync_norms(spec)  # SyncBN runs in a process group alone
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(spec)
    model.init_weights()
    return model.to(device).train()


class TrainingStep:
    """Forward pass, backward pass and optimizer of a config.

    Args:
        cfg: The config; its optimizer is used as it is.
        device: Where the model is.
        precision: 'bf16' (autocast, on a GPU) or 'fp32'.
    """

    def __init__(self, cfg: Config, device: torch.device, precision: str = 'fp32') -> None:
        self.model = build_model(cfg, device)
        wrapper = dict(cfg.optim_wrapper)
        for key in ('dtype', 'loss_scale'):
            wrapper.pop(key, None)
        wrapper['type'] = 'OptimWrapper'
        if precision == 'bf16':
            wrapper |= dict(type='AmpOptimWrapper', dtype='bfloat16')
        self.optim_wrapper = build_optim_wrapper(self.model, ConfigDict(wrapper))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Train on a batch and return its losses."""
        losses: dict[str, Tensor] = self.model.train_step(batch, self.optim_wrapper)
        return losses


def pinned(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a batch as a data loader gives it: in page-locked memory for a GPU."""
    loader: DataLoader = DataLoader(
        [batch],  # type: ignore[arg-type]  # any sequence is a dataset
        batch_size=None,
        pin_memory=device.type == 'cuda',
    )
    (result,) = loader
    return result
