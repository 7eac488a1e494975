"""Checkpoint files: read without running any code that they may hold."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

# Where the state dict lies in a file of several entries, in order of preference. 'teacher' and
# 'student' are DINO's and iBOT's; the teacher is what they publish numbers of.
CONTAINERS = ('state_dict', 'model', 'teacher', 'student', 'module')
# Names under which Hugging Face and timm folders keep weights beside a config.json.
FOLDER_WEIGHTS = ('model.safetensors', 'pytorch_model.bin')
METADATA_KEY = 'mmc2fmae.backbone'


class CheckpointMismatch(ValueError):
    """A checkpoint does not fill the model, or is none; the message lists the keys."""


@dataclass
class CheckpointFile:
    """What a checkpoint file says.

    Attributes:
        path: The file that holds the weights.
        weights: Its state dict.
        stated: What it says about its backbone beyond the weights, if anything: ``num_heads``,
            ``norm_eps``, ``img_size`` (height, width), ``mean`` and ``std`` (of channels in
            [0, 1]).
    """

    path: Path
    weights: dict[str, Tensor]
    stated: dict = field(default_factory=dict)


def read_file(path: str | Path) -> CheckpointFile:
    """Read a checkpoint, weights-only or from safetensors, never arbitrary pickle.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote, or a folder with ``config.json`` and
            the weights (Hugging Face, timm).

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointMismatch: The file is no checkpoint, is truncated or holds more than weights.
    """
    path = Path(path)
    if path.is_dir():
        names = [name for name in FOLDER_WEIGHTS if (path / name).is_file()]
        if not names:
            raise FileNotFoundError(f'{path} holds none of {", ".join(FOLDER_WEIGHTS)}')
        path = path / names[0]
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    read = _read_safetensors if path.suffix == '.safetensors' else _read_torch
    try:
        weights, stated = read(path)
    except Exception as error:
        code = re.search(r'Unsupported (?:global|class)\W+(?:GLOBAL )?([\w.]+)', str(error))
        if code:  # torch's own text runs over a page and names an unsafe way out
            raise CheckpointMismatch(
                f'{path} holds more than weights, {code[1]}, and is not unpickled: load it with '
                'the code it comes from, if you trust it, and save its state_dict() alone with '
                'safetensors.torch.save_file'
            ) from error
        raise CheckpointMismatch(
            f'{path} is no readable checkpoint, it may be truncated ({type(error).__name__}: '
            f'{error})'
        ) from error
    if path.name in FOLDER_WEIGHTS and not stated:
        stated = _read_config(path.parent)
    return CheckpointFile(path, weights, stated)


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint's weights; see :func:`read_file`."""
    return read_file(path).weights


def unwrap(checkpoint: dict) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint that wraps it among other things.

    Args:
        checkpoint: A state dict or a dict that holds one under one of :data:`CONTAINERS`.

    Raises:
        CheckpointMismatch: There is no state dict in it.
    """
    while isinstance(checkpoint, dict):
        tensors = {k: v for k, v in checkpoint.items() if isinstance(v, Tensor)}
        inner = next(
            (checkpoint[c] for c in CONTAINERS if isinstance(checkpoint.get(c), dict)), None
        )
        if inner is None:
            if tensors:
                return tensors
            break
        checkpoint = inner
    found = list(checkpoint)[:8] if isinstance(checkpoint, dict) else type(checkpoint).__name__
    raise CheckpointMismatch(f'no state dict: found {found}, expected tensors or {CONTAINERS}')


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    with safe_open(path, 'pt') as file:
        stated = json.loads((file.metadata() or {}).get(METADATA_KEY, '{}'))
        return {key: file.get_tensor(key) for key in file.keys()}, stated  # noqa: SIM118


def _read_torch(path: Path) -> tuple[dict[str, Tensor], dict]:
    checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    return unwrap(checkpoint), meta.get('backbone', {}) if isinstance(meta, dict) else {}


def _read_config(folder: Path) -> dict:
    """Read what the JSON files of a Hugging Face or timm folder say.

    Raises:
        CheckpointMismatch: They describe something else than a plain ViT with exact GELU.
    """
    config, processor = (
        json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
        for name in ('config.json', 'preprocessor_config.json')
    )
    if 'pretrained_cfg' in config:  # timm
        cfg, options = config['pretrained_cfg'], config.get('model_args', {})
        size = cfg.get('input_size', [])[1:]
        stated = dict(mean=cfg.get('mean'), std=cfg.get('std'), num_heads=options.get('num_heads'))
    else:
        if config.get('hidden_act', 'gelu') != 'gelu':
            raise CheckpointMismatch(
                f'{folder / "config.json"} has hidden_act {config["hidden_act"]!r}, our backbone '
                "has 'gelu': other activations do not fit"
            )
        size = config.get('image_size')
        stated = dict(
            num_heads=config.get('num_attention_heads'),
            norm_eps=config.get('layer_norm_eps'),
            mean=processor.get('image_mean'),
            std=processor.get('image_std'),
        )
    if size:
        stated['img_size'] = [size, size] if isinstance(size, int) else list(size)
    return {key: value for key, value in stated.items() if value is not None}
