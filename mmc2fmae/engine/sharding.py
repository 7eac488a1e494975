"""Weights, gradients and state of the optimizer in parts, one a process (FSDP, ZeRO stage 3)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmengine.config import Config
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mmc2fmae.models.attention import CrossAttention

UNITS = (MultiheadAttention, CrossAttention, FFN)
"""Modules that are put together one at a time, each when it computes; the rest stays whole
between the first and the last of them. All of the project's transformers call these."""

_WHOLE = {
    'EMAHook': 'which copies the whole model',
    'PictureProbeHook': 'which draws with the whole model in one process (--probe-pictures)',
}


def require_shardable(cfg: Config, processes: int) -> None:
    """Check that nothing in a run needs the whole model in one process.

    Args:
        cfg: Config of a training.
        processes: How many train together.

    Raises:
        ValueError: Something does, or there is one process alone.
    """
    if processes < 2:
        raise ValueError(
            '--shard divides the weights among processes, and this is one alone: start several '
            '(tools/dist_train.sh CONFIG GPUS --shard), or leave it out'
        )
    hooks = [str(hook.get('type')).rpartition('.')[2] for hook in cfg.get('custom_hooks') or []]
    needs = [f'{name}, {why}' for name, why in _WHOLE.items() if name in hooks]
    if any(hook.get('replay') for hook in cfg.get('custom_hooks') or []):
        needs.append('--debug-nan, which stops one process within a pass')
    if cfg.get('compile') or cfg.model.get('compile'):
        needs.append('compile, which joins the modules that it puts together one by one')
    joined = (cfg.get('model_wrapper_cfg') or {}).get('type', 'MMDistributedDataParallel')
    if joined != 'MMDistributedDataParallel':
        needs.append(f'{joined} of model_wrapper_cfg, which joins processes in another way')
    if cfg.get('runner_type'):
        needs.append('runner_type, as it is the usual runner that divides')
    if cfg.get('sync_bn'):
        needs.append('sync_bn, for which norm_cfg=dict(type="SyncBN") stands in the model')
    if needs:
        raise ValueError(f'--shard does not go with {"; ".join(needs)}: leave one of them out')


def is_sharded(model: nn.Module) -> bool:
    """Tell whether a model is in parts."""
    return isinstance(model, FSDPModule)


def shard(model: nn.Module) -> None:
    """Leave each process its part of every parameter of an initialised model, in place.

    The names of parameters stay. Whole weights can be loaded as ever.

    Args:
        model: The model, equal in all processes.
    """
    for module in list(model.modules()):
        if isinstance(module, UNITS):
            fully_shard(module)
    fully_shard(model)
    for module in model.modules():
        module.register_load_state_dict_pre_hook(_divide_weights)


def divide_loaded(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimizer of a model in parts load the state of one that was whole."""
    optimizer.register_load_state_dict_pre_hook(_divide_state)


def whole_tensor(value: Any) -> Any:
    """Return a tensor as a whole, on the device where its part is; all processes must ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def own_part(value: Tensor) -> Tensor:
    """Return what of a tensor this process keeps."""
    return value.to_local() if isinstance(value, DTensor) else value


@contextmanager
def whole_states(model: nn.Module, optimizer: torch.optim.Optimizer, keep: bool) -> Iterator[None]:
    """Let the state dicts of a model in parts and of its optimizer be whole, on the CPU.

    All processes must enter. They hold one tensor more at a time, those that keep all of them.

    Args:
        model: A model, whether or not it is in parts.
        optimizer: Its optimizer.
        keep: Whether this process is the one that saves.
    """
    if not is_sharded(model):
        yield
        return
    weights = _collected(model.state_dict(), keep)
    state = optimizer.state_dict()
    moments = {i: _collected(part, keep) for i, part in state['state'].items()}
    handles = [
        model.register_state_dict_post_hook(lambda module, found, *_: found.update(weights)),
        optimizer.register_state_dict_post_hook(lambda _, found: found | dict(state=moments)),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _collected(values: Mapping[Any, Any], keep: bool) -> dict[Any, Any]:
    found = {}
    for name, value in values.items():
        value = whole_tensor(value)
        if keep:
            found[name] = value.cpu() if isinstance(value, Tensor) else value
    return found


def _part(value: Any, own: Any) -> Any:
    """Return this process's part of a whole tensor, divided as another one is."""
    divided = isinstance(own, DTensor) and isinstance(value, Tensor)
    if not divided or isinstance(value, DTensor) or value.shape != own.shape:
        return value
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements)


def _divide_weights(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, own in module.named_parameters(recurse=False):
        if prefix + name in state:
            state[prefix + name] = _part(state[prefix + name], own)


def _divide_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    own = [parameter for group in optimizer.param_groups for parameter in group['params']]
    divided = {
        i: {name: _part(value, own[i]) for name, value in part.items()}
        for i, part in state['state'].items()
    }
    return state | dict(state=divided)
