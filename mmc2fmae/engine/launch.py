"""One entry point for every scope: from a config and options to a runner on whatever is there."""

import argparse
import os
import traceback
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmc2fmae import configs
from mmc2fmae.datasets.bundle_folders import is_remote
from mmc2fmae.datasets.bundles import holds_bundle
from mmc2fmae.engine.cfg_options import apply_cfg_options
from mmc2fmae.engine.console import say
from mmc2fmae.engine.options import apply_classes, apply_options
from mmc2fmae.engine.overrides import apply_settings
from mmc2fmae.engine.processes import require_launcher
from mmc2fmae.engine.run_table import RunTableHook
from mmc2fmae.engine.runner import KeptConfigHook, QuietRunner
from mmc2fmae.engine.step_log import StepLogHook
from mmc2fmae.engine.trackers import add_trackers


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the options that training and testing share.

    Raises:
        ConfigError: The config is wrong, or an option does not fit it.
        FileNotFoundError: There is no such config or data root.
        ValueError: An option names what the config does not have, or several processes were
            started that know nothing of each other.
    """
    require_launcher(args.launcher)
    cfg = configs.read(args.config)
    cfg.launcher = args.launcher
    for line in apply_options(cfg, vars(args)):
        say(f'set {line}')
    apply_cfg_options(cfg, args.cfg_options)
    for line in apply_settings(cfg, args.set):
        say(f'set {line}')
    run = configs.run_folder(args.config)  # wherever it lies by now
    cfg.work_dir = str(
        args.work_dir or run or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    )
    if args.data_root:
        if not is_remote(args.data_root) and not Path(args.data_root).is_dir():
            raise FileNotFoundError(f'--data-root {args.data_root} is no folder')
        for split in ('train', 'val', 'test'):
            if cfg.get(f'{split}_dataloader'):
                dataset = cfg[f'{split}_dataloader'].dataset
                _move_ann_file(cfg.get(f'{split}_evaluator'), dataset, args.data_root)
                _set_data_root(dataset, args.data_root)
    for line in apply_classes(cfg, args.classes):  # after the folder of the data is known
        say(f'set {line}')
    add_trackers(cfg, vars(args))
    _fit_hardware(cfg)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner that a config describes; on CPU, processes are joined through gloo."""
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        # mmengine's own start-up picks a GPU per rank and cannot do without one.
        torch.distributed.init_process_group('gloo')
        if not cfg.get('shard'):
            own = cfg.get('model_wrapper_cfg') or _joined()
            cfg.model_wrapper_cfg = dict(own, device_ids=None)
        if unsync_norms(cfg.model):
            say('no GPU: BN for SyncBN, each process normalises by its own batch')
    elif cfg.launcher != 'none' and not any(
        cfg.get(key) for key in ('model_wrapper_cfg', 'runner_type', 'shard')
    ):
        unused = cfg.get('find_unused_parameters', False)
        cfg.model_wrapper_cfg = dict(
            _joined(), broadcast_buffers=False, find_unused_parameters=unused
        )
    runner = RUNNERS.build(cfg) if cfg.get('runner_type') else QuietRunner.from_cfg(cfg)
    runner.register_hook(StepLogHook())
    runner.register_hook(RunTableHook())
    runner.register_hook(KeptConfigHook())
    return runner


def _joined() -> dict:
    """Return how processes are joined: gradients are views of what is sent, not copies of it."""
    return dict(type='MMDistributedDataParallel', gradient_as_bucket_view=True)


def is_config_mistake(error: Exception) -> bool:
    """Tell whether a registry raised an error: a type or an argument that does not exist."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    raised_in = frames[-1].f_globals.get('__name__') if frames else None
    return isinstance(error, KeyError | TypeError) and (
        raised_in == 'mmengine.registry.build_functions'
    )


def _set_data_root(dataset: dict, root: str) -> None:
    """Set ``data_root`` of a dataset and of datasets wrapped in it.

    Raises:
        ConfigError: The data are a bundle, which the dataset does not read.
    """
    if 'data_root' in dataset:
        kind = str(dataset.get('type')).rpartition('.')[2]
        if kind != 'MultiGranularDataset' and holds_bundle(root, dataset):
            raise configs.ConfigError(
                f'--data-root {root} holds bundles (or is an object store, which does), and '
                f'{kind} reads folders of files: give the folder that was bundled (docs/bundles.md)'
            )
        dataset['data_root'] = root
    inner = dataset.get('dataset') or dataset.get('datasets') or []
    for part in [inner] if isinstance(inner, dict) else inner:
        _set_data_root(part, root)


def _move_ann_file(evaluator: dict | list | None, dataset: dict, root: str) -> None:
    """Let metrics read their annotations (COCO's) below the new root of the data, too."""
    old = Path(dataset.get('data_root') or '')
    for metric in [evaluator] if isinstance(evaluator, dict) else evaluator or []:
        if metric.get('ann_file') and Path(metric['ann_file']).is_relative_to(old):
            metric['ann_file'] = str(Path(root) / Path(metric['ann_file']).relative_to(old))


def unsync_norms(part: dict | list) -> bool:
    """Replace SyncBN, which has no CPU kernel, by BN in a model's config; tell if there was any."""
    found = False
    if isinstance(part, dict) and part.get('type') == 'SyncBN':
        found, part['type'] = True, 'BN'
    inner = part.values() if isinstance(part, dict) else part
    return any([found, *(unsync_norms(v) for v in inner if isinstance(v, dict | list))])


def _fit_hardware(cfg: Config) -> None:
    """Replace what needs a GPU where there is none, and say so."""
    if torch.cuda.is_available():
        return
    wrapper = cfg.get('optim_wrapper')
    if wrapper and wrapper.get('type') == 'AmpOptimWrapper':
        say('no GPU: training in fp32 instead of mixed precision')
        wrapper['type'] = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(key, None)
    for split in ('train', 'val', 'test'):
        if cfg.get(f'{split}_dataloader'):
            cfg[f'{split}_dataloader'].pin_memory = False
