"""--cfg-options: fields by their dotted path, refused where no run would read them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, LogProcessor, Runner, TestLoop, ValLoop
from mmengine.runner.utils import set_random_seed
from mmengine.visualization import Visualizer
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from mmc2fmae import configs
from mmc2fmae.engine.overrides import (
    FREE_FIELDS,
    RUN_FIELDS,
    constructors,
    nearest_names,
    parameters,
)
from mmc2fmae.engine.value_kinds import check_value

NEW = '+'
"""Before a key: the field is new to the config, and the user means it."""

# What builds parts that a config may write without a type.
_MAKERS: dict[str, list[Callable]] = {
    '': [Runner],
    'train_dataloader': [DataLoader],
    'val_dataloader': [DataLoader],
    'test_dataloader': [DataLoader],
    'train_cfg': [EpochBasedTrainLoop],
    'val_cfg': [ValLoop],
    'test_cfg': [TestLoop],
    'optim_wrapper': [OptimWrapper],
    'optim_wrapper.clip_grad': [clip_grad_norm_, clip_grad_value_],
    'log_processor': [LogProcessor],
    'visualizer': [Visualizer],
    'randomness': [set_random_seed],
    'env_cfg': [Runner.setup_env],
}
# Fields that no signature shows.
_KNOWN = {
    'train_dataloader': {'num_batch_per_epoch'},
    'val_dataloader': {'num_batch_per_epoch'},
    'test_dataloader': {'num_batch_per_epoch'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'env_cfg.dist_cfg': {'backend', 'timeout'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'optim_wrapper.clip_grad': {'type'},
    'robustness': {'classes', 'sets', 'score'},
    'optim_wrapper.paramwise_cfg': {
        'lr_mult', 'decay_mult', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult',
        'flat_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate',
        'custom_keys', 'layer_decay',
    },
    'model.backbone': {'init_cfg'},
    'default_hooks': {
        'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint',
        'visualization',
    },
}  # fmt: skip


def apply_cfg_options(
    cfg: Config, options: Mapping[str, Any] | None, more: Sequence[str] = ()
) -> None:
    """Override fields of a config in place.

    Args:
        cfg: The config.
        options: Dotted key to value; ``+`` before a key marks a field that is new.
        more: Top-level fields of this config that a tool reads beside those of a run.

    Raises:
        ValueError: No run would read a field, or a value is of another type than the field's.
        ConfigError: mmengine cannot put a value there.
    """
    options = dict(options or {})
    check_options(cfg, options, more)
    configs.override(cfg, {key.removeprefix(NEW): value for key, value in options.items()})


def check_options(
    cfg: Config | Mapping, options: Mapping[str, Any], more: Sequence[str] = ()
) -> None:
    """Refuse dotted keys of ``--cfg-options`` that lead nowhere; mmengine would add them silently.

    A field must be there, or be an argument of the part's type, or belong to a part to which the
    options give a ``type``. What is marked by ``+`` is taken as it is.

    Args:
        cfg: Config before the options.
        options: Dotted key to value.
        more: Top-level fields of this config that a tool reads beside those of a run.

    Raises:
        ValueError: A key leads nowhere; the message names the nearest. Or a value is of another
            type than the field's.
    """
    if isinstance(cfg, Config):
        cfg = cfg._cfg_dict
    added = {key.removeprefix(NEW).rpartition('.')[0] for key in options if key.endswith('.type')}
    top = {*RUN_FIELDS, *more}
    for key, value in options.items():
        if key.startswith(NEW):
            continue
        first = key.partition('.')[0]
        if first not in top and first in cfg:
            raise ValueError(
                f'--cfg-options {key}: no run reads {first}, the config file calculates with it '
                'before options are known; set the fields that it goes to, or copy the config'
            )
        if first not in top:
            raise ValueError(
                f'--cfg-options {key}: there is no {first}; the nearest: '
                f'{nearest_names(first, top)}{_elsewhere(cfg, first)}; {NEW}{key} adds it'
            )
        if any(key.startswith(f'{path}.') for path in added):
            continue  # its constructor judges
        if first in more and key.count('.') > 1:
            continue  # the tool judges
        _check_key(cfg, key, value)


def _check_key(cfg: Mapping, key: str, value: Any) -> None:
    *outer, last = key.split('.')
    part: Any = cfg
    path = ''
    for name in outer:
        part, path = _step(cfg, part, path, name, key)
        if part is None:
            return  # an argument of some type, with fields that only the type knows
    if not isinstance(part, Mapping | list | tuple):
        raise ValueError(f'--cfg-options {key}: {path} is {part!r} and has no field {last}')
    if isinstance(part, Mapping) and path and last not in part and last != 'type':
        _check_new(cfg, part, last, path, key)
    old = part.get(last) if isinstance(part, Mapping) else None
    if isinstance(part, list | tuple):
        old, _ = _step(cfg, part, path, last, key)
    check_value(f'--cfg-options {key}', old, value, _types(cfg, part, path, last))


def _step(cfg: Mapping, part: Any, path: str, name: str, key: str) -> tuple[Any, str]:
    """Go one name further; None where the rest is left to a constructor."""
    inner = f'{path}.{name}' if path else name
    if isinstance(part, list | tuple) and name.isdigit() and int(name) < len(part):
        return part[int(name)], inner
    if not isinstance(part, Mapping):
        what = f'a list of {len(part)}' if isinstance(part, list | tuple) else repr(part)
        raise ValueError(f'--cfg-options {key}: {path} is {what} and has no field {name}')
    if name in part and part[name] is not None:
        return part[name], inner
    if path and name not in part:
        _check_new(cfg, part, name, path, key)
    known = inner in _MAKERS or inner in _KNOWN
    return ({} if known else None), inner


def _check_new(cfg: Mapping, part: Mapping, name: str, path: str, key: str) -> None:
    known = {str(field) for field in part}
    if path.endswith('.custom_keys') or '.custom_keys.' in path:
        return  # names of parameters
    if name in FREE_FIELDS or name in _KNOWN.get(path, ()):
        return
    for maker in _makers(cfg, part, path):
        known |= set(parameters(maker)[0])
    if name in known:
        return
    raise ValueError(
        f'--cfg-options {key}: {path} has no {name}; the nearest: '
        f'{nearest_names(name, known | _KNOWN.get(path, set()))}{_elsewhere(cfg, name)}; '
        f'{NEW}{key} adds it'
    )


def _elsewhere(cfg: Mapping, name: str) -> str:
    """Say where in the config a field of that name is."""
    places = [path for path in _paths(cfg) if path.rpartition('.')[2] == name]
    return f' ({", ".join(places[:2])})' if places else ''


def _paths(cfg: Mapping, path: str = '') -> Iterator[str]:
    for name, value in cfg.items():
        if path or name in RUN_FIELDS:
            inner = f'{path}.{name}' if path else str(name)
            yield inner
            if isinstance(value, Mapping):
                yield from _paths(value, inner)


def _types(cfg: Mapping, part: Any, path: str, name: str) -> Any:
    """Return the annotation of a field in what builds the part; None where it is not known."""
    if not isinstance(part, Mapping):
        return None
    found = [parameters(maker)[0].get(name) for maker in _makers(cfg, part, path)]
    return found[0] if len(found) == 1 else None


def _makers(cfg: Mapping, part: Mapping, path: str) -> list[Callable]:
    """Return what may build a part: what its type names, or what mmengine takes without one."""
    if 'type' in part:
        return constructors(part['type'], cfg.get('default_scope'))
    if path == 'model.data_preprocessor':  # what the model takes without a type
        own = 'MultiGranularPreprocessor'
        default = dict(ImageClassifier='ClsDataPreprocessor').get(cfg['model'].get('type'), own)
        return constructors(default, 'mmpretrain')
    return _MAKERS.get(path, [])
