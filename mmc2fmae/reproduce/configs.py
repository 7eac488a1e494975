"""What of a config determines a result: its digest, and what an override changes."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmc2fmae.engine.cfg_options import apply_cfg_options

# Where the data lies, how fast it is read and how much is logged or fits on a device at once change
# no result; the batch of a step is auto_scale_lr.base_batch_size, reached by accumulation.
_TOP = {
    'visualizer', 'vis_backends', 'log_level', 'log_processor', 'env_cfg', 'work_dir', 'load_from',
    'resume', 'launcher', 'randomness', 'custom_imports', 'default_scope', 'data_root',
    'backend_args', 'test_dataloader', 'test_evaluator', 'test_cfg', 'file_client_args',
}  # fmt: skip
_ANYWHERE = {
    'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'data_root',
    'val_interval', 'accumulative_counts', 'with_cp', 'compile', 'ann_file',
}  # fmt: skip
_EQUAL = {('optim_wrapper.constructor', 'JoinedGroupsConstructor')}  # as the default, faster
_PATHS = {
    'train_dataloader.batch_size', 'val_dataloader.batch_size', 'default_hooks.logger',
    'default_hooks.visualization', 'default_hooks.checkpoint',
}  # fmt: skip


@lru_cache(maxsize=256)
def _read(path: Path, modified: int) -> Config:
    return Config.fromfile(path)


def read_config(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a config and apply overrides, as ``--cfg-options`` does.

    Args:
        path: Config file.
        overrides: Dotted key to value.

    Raises:
        ValueError: The config cannot be read, or an override does not fit it.
    """
    try:
        cfg = _read(Path(path), Path(path).stat().st_mtime_ns).copy()
        apply_cfg_options(cfg, overrides, more=('robustness',))
    except ValueError as error:
        raise ValueError(f'{path} with {dict(overrides or {})}: {error}') from error
    except Exception as error:  # whatever Python or mmengine finds wrong with it
        raise ValueError(f'{path} with {dict(overrides or {})}: {error!r}') from error
    return cfg


def relevant(cfg: Config | Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that determine a result, as dotted keys."""
    whole = cfg.to_dict() if isinstance(cfg, Config) else dict(cfg)
    if 'model' in whole:  # a training; variables that a file only calculates with are left out
        whole = {k: v for k, v in whole.items() if k in _TRAINING}
    found: dict[str, Any] = {}
    _flatten({k: v for k, v in whole.items() if k not in _TOP}, '', found)
    return found


_TRAINING = {
    'model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper', 'train_cfg',
    'param_scheduler', 'custom_hooks', 'default_hooks', 'auto_scale_lr', 'data_preprocessor',
}  # fmt: skip


def digest(cfg: Config | Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits of what determines a result."""
    return digest_of(relevant(cfg))


def digest_of(data: Any) -> str:
    """Return 16 hexadecimal digits of JSON-like data."""
    text = json.dumps(data, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]


def changes(before: Config | Mapping[str, Any], after: Config | Mapping[str, Any]) -> list[str]:
    """Say what of a result's recipe differs, such as ``train_cfg.max_epochs 6 -> 1``."""
    old, new = relevant(before), relevant(after)
    return [
        f'{_NAMES.get(key, key)} {old.get(key, "none")} -> {new.get(key, "none")}'
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


_NAMES = {'auto_scale_lr.base_batch_size': 'batch'}


def _flatten(value: Any, path: str, found: dict[str, Any]) -> None:
    if path in _PATHS or path.rpartition('.')[2] in _ANYWHERE:
        return
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            _flatten(inner, f'{path}.{key}' if path else str(key), found)
    elif isinstance(value, list | tuple) and any(isinstance(v, dict | list | tuple) for v in value):
        for number, inner in enumerate(value):
            _flatten(inner, f'{path}.{number}', found)
    elif (path, str(value)) not in _EQUAL:
        found[path] = list(value) if isinstance(value, tuple) else value
