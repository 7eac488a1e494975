"""--epochs and --iters: the length of a run, and the schedule that goes with it."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

from mmengine.config import Config

from mmc2fmae.engine.overrides import typed_parts


class Unit(NamedTuple):
    """What a run counts.

    Args:
        option: Option of the command line.
        field: Field of ``train_cfg``.
        by_epoch: Whether it is epochs.
        hooks: Fields of hooks that are counted in it.
    """

    option: str
    field: str
    by_epoch: bool
    hooks: tuple[str, ...]


EPOCHS = Unit('--epochs', 'max_epochs', True, ('begin_epoch', 'switch_epoch'))
ITERS = Unit('--iters', 'max_iters', False, ('begin_iter', 'switch_iter'))
# Fields of schedulers that are counted in epochs or iterations.
_TIMES = ('begin', 'end', 'T_max', 'total_steps', 'step_size', 'milestones', 'periods')
_WHOLE = ('step_size', 'milestones', 'periods')


def set_length(cfg: Config, unit: Unit, length: int) -> None:
    """Let a run have another length, in place; its schedule is stretched.

    What is counted in the run's own unit keeps its share of the run. In a run of epochs, what is
    counted in iterations (a warm-up) keeps its length, but shrinks with a shorter run.

    Args:
        cfg: Config.
        unit: What the option counts.
        length: The new length.

    Raises:
        ValueError: The run does not count that.
    """
    other = ITERS if unit is EPOCHS else EPOCHS
    train = cfg.get('train_cfg')
    if not train or unit.field not in train:
        counted = train and other.field in train
        raise ValueError(
            f'{unit.option} {length}: '
            + (
                f'this config counts otherwise (train_cfg.{other.field} = {train[other.field]}), '
                f'give {other.option} instead'
                if counted
                else f'this config has no train_cfg.{unit.field}'
            )
        )
    share = length / train[unit.field]
    train[unit.field] = length
    for field in ('val_interval', 'val_begin'):
        if train.get(field):
            train[field] = _interval(train[field], share, length)
    if train.get('dynamic_intervals'):
        train.dynamic_intervals = [
            (round(start * share), _interval(every, share, length))
            for start, every in train.dynamic_intervals
        ]
    for scheduler in _schedulers(cfg.get('param_scheduler')):
        counts_epochs = scheduler.get('by_epoch', True)
        if counts_epochs == unit.by_epoch:
            _stretch(scheduler, share, fractions=bool(scheduler.get('convert_to_iter_based')))
        elif unit is EPOCHS:
            _stretch(scheduler, min(share, 1), fractions=False)
    for path, hook in typed_parts(cfg):
        if path.startswith(('default_hooks.', 'custom_hooks.')):
            _stretch_hook(hook, unit, share, length)


def _stretch_hook(hook: MutableMapping, unit: Unit, share: float, length: int) -> None:
    for field in unit.hooks:
        if hook.get(field):
            hook[field] = round(hook[field] * share)
    if 'CheckpointHook' in hook['type'] and hook.get('by_epoch', True) == unit.by_epoch:
        interval = hook.get('interval', -1)
        hook['interval'] = _interval(interval, share, length) if interval > 0 else interval


def _interval(interval: int, share: float, length: int) -> int:
    """Return an interval at its share of the run; what happened at each step still does."""
    return 1 if interval == 1 else min(max(round(interval * share), 1), length)


def _schedulers(value: Any) -> Iterator[MutableMapping]:
    """Yield the schedulers of a config, of one optimizer or of several."""
    if isinstance(value, MutableMapping) and 'type' in value:
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _schedulers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _schedulers(part)


def _stretch(scheduler: MutableMapping, share: float, fractions: bool) -> None:
    """Multiply the times of a scheduler; one that is converted to iterations may end in mid-epoch.

    Parts that met before meet afterwards, since equal times are rounded alike.
    """
    spanned = scheduler.get('T_max') == scheduler.get('end', 0) - scheduler.get('begin', 0)
    for field in _TIMES:
        value = scheduler.get(field)
        whole = field in _WHOLE or not fractions
        if isinstance(value, list | tuple):
            scheduler[field] = [_time(v, share, whole) for v in value]
        elif value is not None and value != float('inf'):
            scheduler[field] = _time(value, share, whole)
    begin, end = scheduler.get('begin', 0), scheduler.get('end')
    if end is not None and end <= begin:
        scheduler['end'] = begin + 1
    if spanned:
        scheduler['T_max'] = _tidy(scheduler['end'] - begin)


def _time(value: float, share: float, whole: bool) -> float:
    if not value:
        return value
    # Of less than an epoch there may be no iteration left.
    return max(round(value * share), 1) if whole else max(_tidy(value * share), 1)


def _tidy(value: float) -> float:
    """Return a time without the noise of floating point, whole where it is."""
    rounded = round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded
