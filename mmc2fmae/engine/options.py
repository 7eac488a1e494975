"""Options of a run that move together: one word, and every field that depends on it."""

from collections.abc import Mapping
from copy import deepcopy
from math import isfinite
from typing import Any

from mmengine.config import Config

from mmc2fmae.engine.option_classes import set_classes
from mmc2fmae.engine.option_length import EPOCHS, ITERS, set_length
from mmc2fmae.engine.option_size import set_grid
from mmc2fmae.engine.overrides import RUN_FIELDS, typed_parts

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def apply_options(cfg: Config, options: Mapping[str, Any]) -> list[str]:
    """Apply ``epochs``, ``iters``, ``batch_size``, ``size``, ``patch_size``, ``workers``, ``lr``.

    Args:
        cfg: Config, changed in place.
        options: Name to value; None and what is not there leave the config as it is.

    Returns:
        A line for each field that moved.

    Raises:
        ValueError: An option does not fit the config.
    """
    before = deepcopy(cfg.to_dict())
    given = {name: value for name, value in options.items() if value is not None}
    if 'epochs' in given and 'iters' in given:
        raise ValueError('--epochs and --iters both state the length of the run: give one of them')
    if 'epochs' in given:
        set_length(cfg, EPOCHS, given['epochs'])
    if 'iters' in given:
        set_length(cfg, ITERS, given['iters'])
    if 'size' in given or 'patch_size' in given:
        set_grid(cfg, given.get('size'), given.get('patch_size'))
    if 'batch_size' in given:
        set_batch_size(cfg, given['batch_size'], testing='epochs' not in options)
    if 'workers' in given:
        set_workers(cfg, given['workers'])
    if 'lr' in given:
        set_learning_rate(cfg, given['lr'])
    return moved(before, cfg.to_dict())


def apply_classes(cfg: Config, classes: Any) -> list[str]:
    """Apply ``--classes``, after the folder of the data is known.

    Args:
        cfg: Config, changed in place.
        classes: See :func:`~mmc2fmae.engine.option_classes.set_classes`; None leaves it as it is.

    Returns:
        A line for each field that moved.

    Raises:
        ValueError: Names or config do not fit.
        FileNotFoundError: The data does not state its classes.
    """
    if classes is None:
        return []
    before = deepcopy(cfg.to_dict())
    set_classes(cfg, classes)
    return moved(before, cfg.to_dict())


def set_batch_size(cfg: Config, batch_size: int, testing: bool = False) -> None:
    """Set the samples of a step and process; in a training, validation takes no more at a time.

    Args:
        cfg: Config, changed in place.
        batch_size: Samples.
        testing: Set the batch of the test instead.
    """
    if testing:
        cfg.test_dataloader.batch_size = batch_size
        return
    cfg.train_dataloader.batch_size = batch_size
    if (cfg.train_dataloader.get('batch_sampler') or {}).get('batch_size'):
        cfg.train_dataloader.batch_sampler.batch_size = batch_size
    for name in LOADERS[1:]:
        if cfg.get(name) and cfg[name].get('batch_size', 1) > batch_size:
            cfg[name].batch_size = batch_size


def set_workers(cfg: Config, workers: int) -> None:
    """Set the processes that read data, of every loader; what only they can have goes with them.

    Args:
        cfg: Config, changed in place.
        workers: Number, 0 reads in the process itself.
    """
    for name in LOADERS:
        if cfg.get(name):
            cfg[name].num_workers = workers
            if not workers:
                cfg[name].persistent_workers = False
                if cfg[name].get('prefetch_factor') is not None:
                    cfg[name].prefetch_factor = None


def set_learning_rate(cfg: Config, rate: float) -> None:
    """Set the highest learning rate; the end of the schedule keeps its share of it.

    Args:
        cfg: Config, changed in place.
        rate: Learning rate.

    Raises:
        ValueError: The config has no single optimizer with a rate, or the rate is no number.
    """
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    if 'lr' not in optimizer:
        raise ValueError('--lr: this config has no optim_wrapper.optimizer.lr')
    if not isfinite(rate) or rate < 0:
        raise ValueError(f'--lr {rate}: expected a number of at least 0')
    share = rate / optimizer['lr'] if optimizer['lr'] else 1
    optimizer['lr'] = rate
    for path, part in typed_parts(cfg):
        if path.startswith('param_scheduler') and part.get('eta_min'):
            part['eta_min'] = part['eta_min'] * share


def moved(before: Mapping, after: Mapping) -> list[str]:
    """Return ``field = value`` for each field of a run that differs.

    Args:
        before: A config as a dict.
        after: The same later.
    """
    old, new = _flat(before), _flat(after)
    lines = [f'{path} = {value!r}' for path, value in new.items() if old.get(path, _flat) != value]
    return [line for line in lines if line.partition('.')[0].partition(' ')[0] in RUN_FIELDS]


def _flat(value: Any, path: str = '') -> dict[str, Any]:
    """Return the leaves of a config by their dotted paths."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        inner = list(enumerate(value))
    if not inner:
        return {path: value}
    found: dict[str, Any] = {}
    for key, part in inner:
        found |= _flat(part, f'{path}.{key}' if path else str(key))
    return found
