"""Checkpoint files: read without running any code that they may hold."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.texts import read_text
from mmc2fmae.unpickling import load_torch

# Where the state dict lies in a file of several entries, in order of preference. 'teacher' and
# 'student' are DINO's and iBOT's; the teacher is what they publish numbers of.
CONTAINERS = ('state_dict', 'model', 'teacher', 'student', 'module')
# Names under which Hugging Face and timm folders keep weights beside a config.json.
FOLDER_WEIGHTS = ('model.safetensors', 'pytorch_model.bin')
METADATA_KEY = 'mmc2fmae.backbone'


@dataclass
class CheckpointFile:
    """What a checkpoint file says.

    Attributes:
        path: The file that holds the weights.
        weights: Its state dict.
        stated: What it says about its backbone beyond the weights, if anything: ``num_heads``,
            ``norm_eps``, ``img_size`` (height, width), ``num_cls_tokens``, ``mean`` and ``std``
            (of channels in [0, 1]).
    """

    path: Path
    weights: dict[str, Tensor]
    stated: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Meta:
    """What a checkpoint of OpenMMLab says beside its weights; no other field of it is ever read.

    Attributes:
        backbone: What it says about its backbone; see :class:`CheckpointFile`.
        classes: Names of the classes of its data, where it names any.
        config: Text of the config of its run, to be read by
            :func:`mmc2fmae.checkpoints.embedded.parse_config` alone; None without one.
    """

    backbone: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    config: str | None = None


def read_meta(path: str | Path) -> Meta:
    """Read what a checkpoint says beside its weights, without reading the weights.

    Args:
        path: Checkpoint file.

    Raises:
        CheckpointMismatch: It is no checkpoint, or what it says is not of the types of
            :class:`Meta`.
    """
    if Path(path).suffix == '.safetensors':
        return Meta()
    return _meta(load_torch(path, mmap=True), path)


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
    except CheckpointMismatch:
        raise
    except Exception as error:
        raise CheckpointMismatch(
            f'{path} is no readable checkpoint, it may be truncated ({type(error).__name__}: '
            f'{error})'
        ) from error
    if path.name in FOLDER_WEIGHTS and not stated:
        stated = _read_config(path.parent)
    return CheckpointFile(path, weights, _check_statement(stated, path))


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint's weights; see :func:`read_file`."""
    return read_file(path).weights


def unwrap(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
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


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, 'pt') as file:
        stated = json.loads((file.metadata() or {}).get(METADATA_KEY, '{}'))
        return {key: file.get_tensor(key) for key in file.keys()}, stated  # noqa: SIM118


def _read_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    checkpoint = load_torch(path)
    try:
        return unwrap(checkpoint), _meta(checkpoint, path).backbone
    except CheckpointMismatch as error:
        raise CheckpointMismatch(f'{path} is no readable checkpoint: {error}') from None


def _meta(checkpoint: Any, path: str | Path) -> Meta:
    found = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if not isinstance(found, dict):
        return Meta()
    data = found.get('dataset_meta')
    classes = data.get('classes') if isinstance(data, dict) else None
    if classes is not None:
        if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
            raise CheckpointMismatch(f'{path}: its classes are {classes!r}, expected names')
        classes = tuple(classes)
    config = found.get('cfg')
    return Meta(
        backbone=found.get('backbone') or {},
        classes=classes or None,
        config=config if isinstance(config, str) else None,
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _are_numbers(values: Any, least: float) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(v, int | float) and v >= least for v in values
    )


_STATED = dict(
    num_heads=_is_count,
    norm_eps=lambda v: isinstance(v, float) and 0 < v < 1,
    img_size=lambda v: isinstance(v, list | tuple) and len(v) == 2 and all(map(_is_count, v)),
    num_cls_tokens=lambda v: v == 0 or _is_count(v),
    mean=lambda v: _are_numbers(v, -1e3),
    std=lambda v: _are_numbers(v, 1e-6),
)


def _check_statement(stated: object, path: Path) -> dict[str, Any]:
    """Return what a file says about its backbone: numbers that can be calculated with.

    Raises:
        CheckpointMismatch: A field is of another type or out of range.
    """
    wrong = {'backbone': stated}
    if isinstance(stated, dict):
        said = {name: stated[name] for name in _STATED if stated.get(name) is not None}
        wrong = {name: value for name, value in said.items() if not _STATED[name](value)}
        if not wrong:
            return stated
    raise CheckpointMismatch(
        f'{path} says {str(wrong)[:100]} about its backbone, which cannot be: it is damaged, or '
        'another program wrote it'
    )


def _read_config(folder: Path) -> dict[str, Any]:
    """Read what the JSON files of a Hugging Face or timm folder say.

    Raises:
        CheckpointMismatch: They describe something else than a plain ViT with exact GELU.
    """
    config, processor = (
        _read_object(folder / name) for name in ('config.json', 'preprocessor_config.json')
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


def _read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where there is no such file."""
    try:
        content = json.loads(read_text(path)) if path.is_file() else {}
    except ValueError as error:
        raise CheckpointMismatch(f'{path} is no readable json ({error})') from error
    if not isinstance(content, dict):
        raise CheckpointMismatch(f'{path} holds a {type(content).__name__}: expected an object')
    return content
