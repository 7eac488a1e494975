"""Loading weights without silent gaps: how much was filled is always said, a gap is an error."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import HOOKS, WEIGHT_INITIALIZERS
from mmengine.runner import Runner
from torch import Tensor, nn


class CheckpointMismatch(ValueError):
    """A checkpoint does not fill the model; the message lists the keys."""


@dataclass
class Coverage:
    """How much of a module a state dict fills.

    Attributes:
        tensors: Tensors of the module.
        filled: Tensors found in the state dict with the right shape.
        parameters: Numbers in the filled tensors.
        missing: Keys of the module that the state dict lacks.
        misshapen: Keys whose shapes differ, with both shapes.
        unused: Keys of the state dict that the module does not have.
    """

    tensors: int
    filled: int
    parameters: int
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def summary(self, source: str) -> str:
        """Return a line such as ``150/150 tensors, 85.8 M parameters from FILE``."""
        text = f'{self.filled}/{self.tensors} tensors, {self.parameters / 1e6:.1f} M parameters'
        return f'{text} from {source}'


def coverage(state_dict: dict[str, Tensor], module: nn.Module) -> Coverage:
    """Compare a state dict with a module's, key by key and shape by shape.

    Args:
        state_dict: Weights to load.
        module: Module that is to hold them; its load hooks (resampled positions) count.
    """
    state_dict = dict(state_dict)
    for name, part in module.named_modules():  # let position embeddings fit themselves first
        prepare = getattr(part, '_prepare_pos_embed', None)
        if prepare is not None:
            prepare(state_dict, f'{name}.' if name else '')
    own = module.state_dict()
    missing = [key for key in own if key not in state_dict]
    misshapen = [
        f'{key}: {tuple(state_dict[key].shape)} in the file, {tuple(own[key].shape)} in the model'
        for key in own
        if key in state_dict and state_dict[key].shape != own[key].shape
    ]
    bad = {*missing, *(line.split(':')[0] for line in misshapen)}
    filled = [key for key in own if key not in bad]
    return Coverage(
        tensors=len(own),
        filled=len(filled),
        parameters=sum(own[key].numel() for key in filled),
        missing=missing,
        misshapen=misshapen,
        unused=[key for key in state_dict if key not in own],
    )


def require_full(found: Coverage, part: str, source: str) -> None:
    """Print the coverage of a part and refuse less than all of it.

    Raises:
        CheckpointMismatch: Some tensors would keep their random values.
    """
    print_log(f'{part}: {found.summary(source)}', logger='current')
    if found.filled == found.tensors:
        return
    lines = [f'{part}: {found.summary(source)}; the rest would stay random:']
    lines += [f'  missing {key}' for key in found.missing]
    lines += [f'  shape of {line}' for line in found.misshapen]
    if found.unused:
        shown = ', '.join(found.unused[:8])
        lines.append(f'  the file has {len(found.unused)} other keys: {shown} ...')
    lines.append('  use the architecture, granularities and prefix that the file was trained with')
    raise CheckpointMismatch('\n'.join(lines))


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint's weights, weights-only or from safetensors, never arbitrary pickle.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointMismatch: The file is no checkpoint or is truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file

            return load_file(path)
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise CheckpointMismatch(
            f'{path} is no readable checkpoint ({type(error).__name__}: {error}); it may be '
            'truncated, or hold more than weights (re-save its state_dict alone)'
        ) from error
    return checkpoint.get('state_dict', checkpoint)


def load_backbone(backbone: nn.Module, path: str | Path, prefix: str = 'backbone.') -> Coverage:
    """Fill a backbone from a checkpoint, completely or not at all.

    Args:
        backbone: The module to fill.
        path: Checkpoint of a run (``.pth``) or safetensors file.
        prefix: Where the backbone's weights are in the file; a file without it is taken as a
            bare backbone.

    Returns:
        What was filled; keys of other granularities are listed as unused.

    Raises:
        CheckpointMismatch: The file does not fill every tensor of the backbone.
    """
    weights = read_state_dict(path)
    own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    found = coverage(own or weights, backbone)
    require_full(found, 'backbone', str(path))
    backbone.load_state_dict(own or weights, strict=False)
    return found


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """``init_cfg`` type that fills a backbone from a checkpoint, completely or not at all.

    Args:
        checkpoint: Checkpoint file.
        prefix: Where the backbone's weights are in the file.
    """

    def __init__(self, checkpoint: str, prefix: str = 'backbone.') -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix

    def __call__(self, module: nn.Module) -> None:
        """Fill ``module``; see :func:`load_backbone`."""
        load_backbone(module, self.checkpoint, self.prefix)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, f'StrictPretrained: {self.checkpoint}')


@HOOKS.register_module()
class CheckpointCoverageHook(Hook):
    """Before weights enter a runner's model: say how much they fill and refuse a gap."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the checkpoint that was read with the model.

        Raises:
            CheckpointMismatch: The checkpoint does not fill the model.
        """
        model = getattr(runner.model, 'module', runner.model)
        weights = checkpoint.get('state_dict', checkpoint)
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
        source = str(runner._load_from or 'checkpoint')
        if hasattr(model, 'backbone'):
            prefix = 'backbone.'
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            require_full(coverage(own, model.backbone), 'backbone', source)
        require_full(coverage(weights, model), 'model', source)
