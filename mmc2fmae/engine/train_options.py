"""Options of training, applied to a config."""

import argparse

import torch
from mmengine.config import Config
from mmpretrain.models.selfsup.base import BaseSelfSupervisor

from mmc2fmae.checkpoints.finding import find_checkpoint, latest_checkpoint, local_checkpoint
from mmc2fmae.engine.console import say
from mmc2fmae.engine.overrides import constructor_fields, constructors
from mmc2fmae.engine.processes import count_processes
from mmc2fmae.engine.sharding import require_shardable
from mmc2fmae.engine.work_dirs import claim, hold
from mmc2fmae.models.self_supervisor import compiled
from mmc2fmae.torchrun import restarted


def apply_train_options(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options of training to a config in place.

    Raises:
        ValueError: Options contradict each other or the config.
        FileNotFoundError: A named checkpoint does not exist.
    """
    if restarted() and latest_checkpoint(cfg.work_dir):
        say(f'restart {restarted()} by torchrun: the run goes on from its last checkpoint')
        args.resume, args.init_from, args.overwrite = args.resume or 'auto', None, False
    _refuse_contradictions(args)
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
    _compile(cfg, args.compile)
    _fit_batch(cfg, args)
    _shard(cfg, args.shard)
    _choose_start(cfg, args)
    hold(cfg.work_dir)
    if not (args.resume or cfg.resume):
        claim(cfg.work_dir, args.overwrite)


def _refuse_contradictions(args: argparse.Namespace) -> None:
    if args.resume and args.init_from:
        raise ValueError(
            '--resume continues a run, --init-from starts a new one from weights: give one of them'
        )
    if args.resume and args.overwrite:
        raise ValueError('--resume continues the run of the folder, --overwrite sets it aside: one')
    if args.weights and not args.checkpoint:
        raise ValueError('--weights chooses among the weights of --checkpoint: give both')


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


def _learns_labels(cfg: Config) -> bool:
    """Tell whether a run pre-trains an encoder of label maps, and so learns to embed them."""
    return pretrains(cfg) and bool(cfg.model.backbone.get('granularities'))


def pretrains(cfg: Config) -> bool:
    """Tell whether a config describes a pre-training."""
    makers = constructors(cfg.model.type, cfg.get('default_scope'))
    return any(isinstance(m, type) and issubclass(m, BaseSelfSupervisor) for m in makers)


def _compile(cfg: Config, asked: bool) -> None:
    """Let the model be compiled where an option asks for it; check what the config asks for."""
    if asked:
        own = 'compile' in (constructor_fields(cfg.model.type, cfg.get('default_scope')) or ())
        # A model that takes the argument compiles its parts of static shape alone.
        part = cfg.model if own else cfg
        part.compile = part.get('compile') or True
    if options := cfg.get('compile'):  # of mmengine, which compiles late and tells at length
        given = dict(options) if isinstance(options, dict) else {}
        compiled(lambda: None, {k: v for k, v in given.items() if k != 'target'})


def _fit_batch(cfg: Config, args: argparse.Namespace) -> None:
    """Fit the rate to the batch, or by accumulation the batch to the rate."""
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


def _shard(cfg: Config, asked: bool) -> None:
    """Let a training divide its model, where an option or the config asks for it."""
    processes = count_processes(cfg.launcher)
    if asked or (cfg.get('shard') and processes > 1):
        require_shardable(cfg, processes)
        cfg.shard = True
        cfg.pop('model_wrapper_cfg', None)
    else:  # one process goes on where several were
        cfg.pop('shard', None)


def _choose_start(cfg: Config, args: argparse.Namespace) -> None:
    """Settle which checkpoint the run goes on from, or whose weights it takes."""
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
