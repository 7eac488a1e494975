"""One entry point for every scope: from command-line options to a runner on whatever is there."""

import argparse
import os
import traceback
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmpretrain.models.selfsup.base import BaseSelfSupervisor

from mmc2fmae import configs
from mmc2fmae.checkpoints.finding import find_checkpoint, latest_checkpoint
from mmc2fmae.datasets.bundle_folders import is_remote
from mmc2fmae.datasets.bundles import holds_bundle
from mmc2fmae.engine.cfg_options import apply_cfg_options
from mmc2fmae.engine.console import say
from mmc2fmae.engine.options import apply_classes, apply_options
from mmc2fmae.engine.overrides import apply_settings, constructor_fields, constructors
from mmc2fmae.engine.processes import count_processes, require_launcher
from mmc2fmae.engine.run_table import RunTableHook
from mmc2fmae.engine.runner import KeptConfigHook, QuietRunner
from mmc2fmae.engine.sharding import require_shardable
from mmc2fmae.engine.step_log import StepLogHook
from mmc2fmae.engine.trackers import add_trackers
from mmc2fmae.engine.work_dirs import claim, hold
from mmc2fmae.models.self_supervisor import compiled
from mmc2fmae.torchrun import restarted


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


def apply_train_options(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options of training to a config in place.

    Raises:
        ValueError: Options contradict each other or the config.
        FileNotFoundError: A named checkpoint does not exist.
    """
    if restarted() and latest_checkpoint(cfg.work_dir):
        say(f'restart {restarted()} by torchrun: the run goes on from its last checkpoint')
        args.resume, args.init_from, args.overwrite = args.resume or 'auto', None, False
    if args.resume and args.init_from:
        raise ValueError(
            '--resume continues a run, --init-from starts a new one from weights: give one of them'
        )
    if args.resume and args.overwrite:
        raise ValueError('--resume continues the run of the folder, --overwrite sets it aside: one')
    if args.weights and not args.checkpoint:
        raise ValueError('--weights chooses among the weights of --checkpoint: give both')
    if args.debug_nan:
        _replay_nan(cfg, args.compile)
    if args.checkpoint:
        _fill_backbone(cfg, args.checkpoint, args.weights)
    if args.seed is not None:
        cfg.randomness = dict(cfg.get('randomness', {}), seed=args.seed)
    if args.amp and torch.cuda.is_available():
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype=args.amp)
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    elif args.amp:
        say('--amp is ignored: mixed precision needs a GPU, this run is fp32')
    if args.compile:
        own = 'compile' in (constructor_fields(cfg.model.type, cfg.get('default_scope')) or ())
        # A model that takes the argument compiles its parts of static shape alone.
        part = cfg.model if own else cfg
        part.compile = part.get('compile') or True
    if options := cfg.get('compile'):  # of mmengine, which compiles late and tells at length
        given = dict(options) if isinstance(options, dict) else {}
        compiled(lambda: None, {k: v for k, v in given.items() if k != 'target'})
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'--auto-scale-lr: {args.config} has no auto_scale_lr.base_batch_size; add '
                'auto_scale_lr = dict(base_batch_size=<batch that the learning rate is for>)'
            )
        cfg.auto_scale_lr.enable = True
    if args.total_batch:
        _accumulate(cfg, args.total_batch)
    accumulated = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if cfg.get('auto_scale_lr', {}).get('enable') and (args.total_batch or accumulated > 1):
        raise ValueError(
            '--auto-scale-lr scales by the batch of one pass and knows nothing of accumulation '
            f'({accumulated} passes a step): give --total-batch, which keeps the rate, or '
            '--auto-scale-lr and accumulative_counts=1'
        )
    _shard(cfg, args.shard)
    cfg.load_from = args.init_from or cfg.get('load_from')
    resume = args.resume
    if cfg.get('resume') and not (resume or args.init_from):  # a config may ask for it, too
        resume = cfg.load_from or 'auto'
    if resume == 'auto':
        resume = latest_checkpoint(cfg.work_dir)
        if resume is None:
            say(f'--resume: no checkpoint in {cfg.work_dir}, starting from the beginning')
    cfg.resume = bool(resume)
    if resume:
        cfg.load_from = str(resume)
    cfg.load_from = local_checkpoint(cfg.load_from)
    hold(cfg.work_dir)
    if not (args.resume or cfg.resume):
        claim(cfg.work_dir, args.overwrite)


def local_checkpoint(source: str | None) -> str | None:
    """Return the file that a checkpoint or the folder of a run stands for; addresses stay.

    Raises:
        FileNotFoundError: There is none.
    """
    return source if not source or '://' in source else str(find_checkpoint(source))


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


def _fill_backbone(cfg: Config, checkpoint: str, which: str | None) -> None:
    """Let the backbone start from a checkpoint; a resumed run has its weights from elsewhere."""
    if 'backbone' not in cfg.model:
        raise ValueError(f'--checkpoint: the {cfg.model.type} of this config has no backbone')
    init: dict[str, object] = dict(
        type='StrictPretrained', checkpoint=str(find_checkpoint(checkpoint))
    )
    if which:
        init['which'] = which
    if _learns_labels(cfg):
        init['new_labels'] = True
    cfg.model.backbone.init_cfg = init


def _shard(cfg: Config, asked: bool) -> None:
    """Let a training divide its model, where an option or the config asks for it."""
    processes = count_processes(cfg.launcher)
    if asked or (cfg.get('shard') and processes > 1):
        require_shardable(cfg, processes)
        cfg.shard = True
        cfg.pop('model_wrapper_cfg', None)
    else:  # one process goes on where several were
        cfg.pop('shard', None)


def _replay_nan(cfg: Config, compiled: bool) -> None:
    """Let the guard compute a batch that is not finite again.

    Raises:
        ValueError: The model is compiled, so that its modules do not show.
    """
    if compiled or cfg.get('compile') or cfg.model.get('compile'):
        raise ValueError('--debug-nan looks into modules, which --compile joins: leave one out')
    hooks = cfg.setdefault('custom_hooks', [])
    guards = [hook for hook in hooks if hook.get('type') == 'NonFiniteGuardHook']
    if not guards:
        guards = [dict(type='NonFiniteGuardHook')]
        hooks += guards
    guards[0]['replay'] = True


def _learns_labels(cfg: Config) -> bool:
    """Tell whether a run pre-trains an encoder of label maps, and so learns to embed them."""
    return pretrains(cfg) and bool(cfg.model.backbone.get('granularities'))


def pretrains(cfg: Config) -> bool:
    """Tell whether a config describes a pre-training."""
    makers = constructors(cfg.model.type, cfg.get('default_scope'))
    return any(isinstance(m, type) and issubclass(m, BaseSelfSupervisor) for m in makers)


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


def _accumulate(cfg: Config, total: int) -> None:
    """Set gradient accumulation so that a step sees ``total`` samples."""
    processes = count_processes(cfg.launcher)
    batch = cfg.train_dataloader.batch_size
    step = processes * batch
    if total < step or total % step:
        below = max(total // step, 1) * step
        raise ValueError(
            f'--total-batch {total} is no multiple of {processes} processes x {batch} samples: '
            f'nearest are {below} and {below + step}; or change --batch-size'
        )
    cfg.optim_wrapper.accumulative_counts = total // step
    lr = cfg.optim_wrapper.optimizer.lr
    say(
        f'{processes} processes x {batch} samples x accumulate {total // step} = {total}, '
        f'learning rate {lr:g}'
    )
    if 'max_iters' in cfg.train_cfg and total != step:
        iters = cfg.train_cfg.max_iters
        say(
            f'{iters:,} iterations are {iters * step // total:,} steps of {total}: '
            f'--iters {iters * (total // step)} makes as many steps'
        )
