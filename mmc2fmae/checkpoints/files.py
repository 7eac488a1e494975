"""Checkpoint files: read without running any code that they may hold."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from mmc2fmae.checkpoints.finding import FOLDER_FILES, find_checkpoint
from mmc2fmae.checkpoints.wrappers import check_which, unwrap
from mmc2fmae.errors import CheckpointMismatch, nearest
from mmc2fmae.file_kinds import require_checkpoint
from mmc2fmae.texts import read_text
from mmc2fmae.unpickling import load_torch, require_finite

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
    if Path(path).suffix in ('.safetensors', '.json'):
        return Meta()
    return _meta(load_torch(path, mmap=True), path)


def read_file(path: str | Path, which: str | None = None) -> CheckpointFile:
    """Read a checkpoint, weights-only or from safetensors, never arbitrary pickle.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote, or a folder: that of a run (the
            checkpoint it wrote last), or one with ``config.json`` and the weights (Hugging Face,
            timm), in one file or several.
        which: 'ema' for averaged weights, 'raw' for those they are averaged of; see
            :func:`mmc2fmae.checkpoints.wrappers.unwrap`.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointMismatch: The file is no checkpoint, is truncated, holds more than weights, or
            weights that are not finite.
        ValueError: ``which`` is something else.
    """
    check_which(which)
    path = find_checkpoint(path)
    if path.name.endswith('.index.json'):
        weights, stated = _read_shards(path), dict[str, Any]()
    else:
        weights, stated = _read(path, which)
    if which == 'ema' and path.suffix in ('.safetensors', '.json'):
        raise CheckpointMismatch(f'{path} has one set of weights: leave out --weights {which}')
    require_finite(weights, path)
    if path.name in FOLDER_FILES and not stated:
        stated = _read_config(path.parent)
    return CheckpointFile(path, weights, _check_statement(stated, path))


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint's weights; see :func:`read_file`."""
    return read_file(path).weights


def _read(path: Path, which: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read one file: its weights, and what it says about its backbone."""
    try:
        if path.suffix == '.safetensors':
            require_checkpoint(path, safetensors=True)
            with safe_open(path, 'pt') as file:
                stated = json.loads((file.metadata() or {}).get(METADATA_KEY, '{}'))
                return {key: file.get_tensor(key) for key in file.keys()}, stated  # noqa: SIM118
        checkpoint = load_torch(path)
        return unwrap(checkpoint, path, which), _meta(checkpoint, path).backbone
    except CheckpointMismatch:
        raise
    except Exception as error:
        raise CheckpointMismatch(
            f'{path} is no readable checkpoint, it may be truncated ({type(error).__name__}: '
            f'{error})'
        ) from error


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Read weights that are cut into several files.

    Raises:
        CheckpointMismatch: The index is damaged, or files or tensors that it lists are missing.
    """
    places = _read_object(index).get('weight_map')
    if not isinstance(places, dict) or not all(
        isinstance(name, str) and name == Path(name).name for name in places.values()
    ):
        raise CheckpointMismatch(
            f'{index} lists no files beside it: expected weight_map, from tensors to file names'
        )
    names = sorted(set(places.values()))
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise CheckpointMismatch(
            f'{index} lists {len(names)} files, {len(absent)} of them are not there '
            f'({", ".join(absent[:3])}): fetch the whole folder'
        )
    weights = {key: value for name in names for key, value in _read(index.parent / name)[0].items()}
    lost = [key for key in places if key not in weights]
    if lost:
        raise CheckpointMismatch(f'{index} lists {", ".join(lost[:3])}, which its files lack')
    return weights


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


_BY_CALLER = dict(
    num_heads='a whole number above 0',
    norm_eps='a number between 0 and 1',
    img_size='height and width in pixels',
    num_cls_tokens='a whole number, 0 or more',
    mean='numbers from 0 to 1, one a channel (divide those of 0 to 255 by 255)',
    std='numbers above 0 and up to 1, one a channel (divide those of 0 to 255 by 255)',
)
"""What a caller may say, and what is expected of it."""


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


def check_caller(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a caller says about a backbone, without None.

    Args:
        stated: Keywords of :func:`mmc2fmae.checkpoints.read_backbone`.

    Raises:
        ValueError: One is unknown or cannot be, or only one of mean and std is given.
    """
    said = {name: value for name, value in stated.items() if value is not None}
    for name, value in said.items():
        if name not in _BY_CALLER:
            raise ValueError(
                f'no option {name!r} of a checkpoint{nearest(name, _BY_CALLER)}: expected '
                f'{", ".join(_BY_CALLER)}'
            )
        fits = _STATED[name](value)
        if name in ('mean', 'std'):  # files may hold others, of processors that do not divide
            fits = fits and all(0 <= v <= 1 for v in value)
        if not fits:
            raise ValueError(f'{name} is {value!r}: expected {_BY_CALLER[name]}')
    if ('mean' in said) != ('std' in said):
        raise ValueError('mean and std belong together: give both')
    return said


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
            **_normalisation(processor, folder),
        )
    if size:
        stated['img_size'] = [size, size] if isinstance(size, int) else list(size)
    return {key: value for key, value in stated.items() if value is not None}


def _normalisation(processor: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return mean and std of channels in [0, 1] that do what an image processor says.

    A processor may leave out the division by 255 (do_rescale) or the normalisation (do_normalize).

    Raises:
        CheckpointMismatch: A field is of another type than these.
    """
    scaled, normal = (processor.get(f'do_{step}', True) for step in ('rescale', 'normalize'))
    factor = processor.get('rescale_factor', 1 / 255)
    wrong = not isinstance(scaled, bool) or not isinstance(normal, bool)
    if wrong or not _are_numbers([factor], 1e-9):
        raise CheckpointMismatch(
            f'{folder / "preprocessor_config.json"}: do_rescale {scaled!r}, do_normalize '
            f'{normal!r}, rescale_factor {factor!r}; expected true or false and a number above 0'
        )
    mean: Any = processor.get('image_mean')
    std: Any = processor.get('image_std')
    if not normal:
        mean, std = [0.0] * 3, [1.0] * 3
    times = 255 * factor if scaled else 255.0  # what a channel in [0, 1] is multiplied by
    if abs(times - 1) < 1e-6 or not (_are_numbers(mean, -1e3) and _are_numbers(std, 1e-6)):
        return dict(mean=mean, std=std)
    return dict(mean=[m / times for m in mean], std=[s / times for s in std])


def _read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where there is no such file."""
    try:
        content = json.loads(read_text(path)) if path.is_file() else {}
    except ValueError as error:
        raise CheckpointMismatch(f'{path} is no readable json ({error})') from error
    if not isinstance(content, dict):
        raise CheckpointMismatch(f'{path} holds a {type(content).__name__}: expected an object')
    return content
