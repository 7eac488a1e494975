"""What a run shows on the console: one table, its progress and warnings; the log file has all."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import initialize
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmc2fmae.engine import dali
from mmc2fmae.engine.halving import Halving
from mmc2fmae.engine.loops import ContinuedEpochLoop
from mmc2fmae.engine.sharding import divide_loaded, is_sharded, shard, whole_states
from mmc2fmae.errors import DatasetError
from mmc2fmae.parallel import be_a_worker

# Modules whose information is progress, or says what a run starts from.
_SHOWN = (
    'mmengine.hooks.logger_hook', 'mmengine.hooks.checkpoint_hook', 'mmc2fmae.engine.console',
    'mmc2fmae.engine.dali', 'mmc2fmae.preflight.masks', 'mmc2fmae.checkpoints', 'mmc2fmae.probes',
)  # fmt: skip
# Modules whose warnings are about mmengine's own calls: a user cannot act on them.
_NOT_FOR_USERS = (
    'mmengine.fileio', 'mmengine.evaluator.metric', 'mmengine.optim.optimizer',
    'mmengine.visualization.vis_backend',
)  # fmt: skip
# Python's warnings that no user can act on: module and start of the text, as regular expressions.
_STACK_WARNINGS = (
    (r'mmengine\.utils\.dl_utils\.setup_env', 'Setting (OMP|MKL)_NUM_THREADS'),
    (r'torch\.autograd\.graph', 'Grad strides do not match bucket view strides'),
    # Nothing is done in place to what an attention returns.
    (r'torch\.distributed\.fsdp\..*', 'FSDP2-wrapped module'),
    # mmengine steps schedulers by iteration, also while gradients accumulate.
    (r'mmengine\.optim\.scheduler\.param_scheduler', 'Detected call of `scheduler.step'),
    (r'mmseg\..*', '.* (will|would) be deprecated'),
    (r'mmseg\.models\.losses\..*', 'Default ``avg_non_ignore`` is False'),
)


def is_first_process() -> bool:
    """Tell, before the processes of a run are joined, whether this is the first one."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0))) == 0


def say(text: str) -> None:
    """Print a line before the run has a logger, in the first process alone."""
    if is_first_process():
        print(text, flush=True)


class QuietRunner(Runner):
    """mmengine's Runner, but the console shows a table in place of two hundred lines."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Return mmengine's logger; its file gets everything, the console what users need."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.addFilter(_for_users)
        return logger

    @staticmethod
    def build_dataloader(*args, **kwargs) -> DataLoader:
        """Return mmengine's data loader, whose workers end with this process."""
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn)
        return loader

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Return mmengine's loop, whose data loader has at least one batch.

        One over epochs can be continued within an epoch.

        Raises:
            DatasetError: There are fewer photographs than a batch.
            ValueError, ImportError, RunStopped: DALI is asked for and cannot be had; see
                :func:`mmc2fmae.engine.dali.decoder_of`.
        """
        if isinstance(loop, dict) and loop.get('type') == 'EpochBasedTrainLoop':
            loop = dict(loop, type='ContinuedEpochLoop')
        built = super().build_train_loop(loop)
        loader = built.dataloader
        require_batch(loader)
        if decoder := dali.decoder_of(loader):
            if not isinstance(built, ContinuedEpochLoop):
                raise ValueError(
                    f'{dali.FIELD}: DALI decodes in runs that count epochs, this one has a '
                    f'{type(built).__name__}: leave it out'
                )
            built.batches = decoder.batches
        accumulate = self.cfg.optim_wrapper.get('accumulative_counts', 1)
        if len(loader.dataset) < (loader.batch_size or 1) * get_world_size() * accumulate:
            self.logger.warning(
                f'a step takes {_batch(loader, accumulate)} photographs, more than the '
                f'{len(loader.dataset):,} that there are: lower --total-batch or '
                'train_dataloader.batch_size'
            )
        return built

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Return mmengine's loop; where memory runs out, batches are halved."""
        self._halve('val_step')
        return super().build_val_loop(loop)

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Return mmengine's loop; where memory runs out, batches are halved."""
        self._halve('test_step')
        return super().build_test_loop(loop)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Return the model as mmengine joins processes; with ``shard``, a training divides it."""
        if self.cfg.get('shard'):
            return model.to(get_device())
        return super().wrap_model(model_wrapper_cfg, model)

    def build_optim_wrapper(self, *args, **kwargs) -> OptimWrapper:
        """Return mmengine's wrapper; with ``shard``, of the parameters of a model in parts."""
        if not self.cfg.get('shard') or is_sharded(self.model):  # asked once more to resume
            return super().build_optim_wrapper(*args, **kwargs)
        self._init_model_weights()  # as mmengine does later, but then they are no longer whole
        shard(self.model)
        wrapper = super().build_optim_wrapper(*args, **kwargs)
        divide_loaded(wrapper.optimizer)
        return wrapper

    def save_checkpoint(self, *args, **kwargs) -> None:
        """Save what mmengine saves, whole; all processes must call it."""
        with whole_states(self.model, self.optim_wrapper.optimizer, keep=self.rank == 0):
            super().save_checkpoint(*args, **kwargs)

    def _halve(self, step: str) -> None:
        model: Any = getattr(self.model, 'module', self.model)
        if is_sharded(model):  # all processes put it together, and as often
            return
        if not isinstance(getattr(model, step), Halving):
            setattr(model, step, Halving(getattr(model, step)))

    def _init_model_weights(self) -> None:
        """Initialise the model, then fill its backbone.

        mmpretrain's own backbones draw patch embedding and tokens after ``init_cfg`` was read.
        """
        model: Any = getattr(self.model, 'module', self.model)
        if is_sharded(model):  # was initialised before that
            return
        backbone: Any = getattr(model, 'backbone', None)
        init = getattr(backbone, 'init_cfg', None)
        later = isinstance(init, dict) and init.get('type') == 'StrictPretrained'
        if later:
            backbone.init_cfg = None
        super()._init_model_weights()
        if later:
            initialize(backbone, init)

    def dump_config(self) -> None:
        """Write nothing yet; the folder's config is that of a training (:class:`KeptConfigHook`).

        A test, or a resumption that is refused, would change what the folder says of its weights.
        """

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment, without the stack's warnings that no user can act on."""
        for module, message in _STACK_WARNINGS:
            warnings.filterwarnings('ignore', message, module=module)
        super().setup_env(env_cfg)


class KeptConfigHook(Hook):
    """Write the config of a training into its folder, once every check has let it start."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Write it."""
        Runner.dump_config(runner)


class RunTableHook(Hook):
    """Log what will run as one table, before the first step."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Log the table of a training; say where a resumed one is finished."""
        runner.logger.info(f'training\n{as_table(training_rows(runner))}')
        by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        at, end = (runner.iter, runner.max_iters) if by_iter else (runner.epoch, runner.max_epochs)
        if runner._resume and at >= end:
            runner.logger.warning(
                f'{runner._load_from} is the end of a finished run, {at:,} of {end:,} '
                f'{"iterations" if by_iter else "epochs"}: nothing is left to train. To train on, '
                f'start a new run from its weights: --init-from {runner._load_from} --work-dir NEW'
            )

    def before_test(self, runner: Runner) -> None:
        """Log the table of a test."""
        rows = {
            **_common_rows(runner),
            'test data': describe_data(runner.test_dataloader.dataset),
            'batch': _batch(runner.test_dataloader),
            'checkpoint': runner._load_from or 'none',
            'full log': runner.logger.log_file,
        }
        runner.logger.info(f'testing\n{as_table(rows)}')


def training_rows(runner: Runner) -> dict[str, object]:
    """Return what a training is, a line each, as soon as its parts are built."""
    loader, cfg = runner.train_dataloader, runner.cfg
    rows = {**_common_rows(runner), 'train data': describe_data(loader.dataset)}
    if runner.val_loop is not None:
        rows['val data'] = describe_data(runner.val_dataloader.dataset)
    groups = runner.optim_wrapper.param_groups
    rates = sorted({group.get('initial_lr', group['lr']) for group in groups})
    rate = f'{rates[0]:g} to {rates[-1]:g} by layer' if len(rates) > 1 else f'{rates[0]:g}'
    by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
    length = f'{runner.max_epochs:,} epochs of {len(loader):,} iterations'
    return rows | {
        'batch': _batch(loader, cfg.optim_wrapper.get('accumulative_counts', 1)),
        'learning rate': f'{rate}, {cfg.optim_wrapper.optimizer.type}',
        'length': f'{runner.max_iters:,} iterations' if by_iter else length,
        'starts from': start_of(runner),
        'checkpoints': runner.work_dir,
        'full log': runner.logger.log_file,
    }


def start_of(runner: Runner) -> str:
    """Say which weights a training starts from."""
    if runner._load_from:
        at = f'resumed at iteration {runner.iter:,} from' if runner._resume else 'weights of'
        return f'{at} {runner._load_from}'
    backbone = runner.cfg.model.get('backbone') or {}
    init = backbone.get('init_cfg') or {}
    checkpoint = init.get('checkpoint') if isinstance(init, dict) else None
    if not checkpoint:
        return 'random weights'
    model = getattr(runner.model, 'module', runner.model)
    beside = {
        name: part
        for name, part in model.named_children()
        if name != 'backbone' and any(True for _ in part.parameters())
    }
    if not beside:
        return f'backbone of {checkpoint}'
    tensors = [tensor for part in beside.values() for tensor in part.parameters()]
    return (
        f'backbone of {checkpoint}; {", ".join(beside)} start anew: {len(tensors)} tensors, '
        f'{sum(tensor.numel() for tensor in tensors):,} parameters'
    )


def require_batch(loader: DataLoader) -> None:
    """Check that a data loader gives each process at least one batch.

    Raises:
        DatasetError: It does not: incomplete batches are dropped, and there is no complete one.
    """
    if len(loader) or isinstance(loader.sampler, InfiniteSampler):
        return
    dataset: Any = loader.dataset
    sampler: Any = loader.sampler  # of this process
    number, each, processes = len(dataset), len(sampler), get_world_size()
    raise DatasetError(
        f'{describe_data(loader.dataset)}: {number} photographs on {processes} '
        f'process{"es" * (processes > 1)} give each {each}, fewer than a batch of '
        f'{loader.batch_size}, and incomplete batches are dropped: take --cfg-options '
        f'train_dataloader.batch_size={max(each, 1)} or less, or train_dataloader.drop_last=False'
    )


def describe_data(dataset: Any) -> str:
    """Return type, number of samples and folder of a data set."""
    inner = dataset
    while hasattr(inner, 'dataset'):
        inner = inner.dataset
    root = getattr(inner, 'data_root', '')
    return f'{type(inner).__name__}, {len(dataset):,} samples' + (f' in {root}' if root else '')


def as_table(rows: dict[str, object]) -> str:
    """Return rows as lines of two columns."""
    width = max(map(len, rows))
    return '\n'.join(f'  {name:<{width}}  {value}' for name, value in rows.items())


def _common_rows(runner: Runner) -> dict[str, str]:
    model = getattr(runner.model, 'module', runner.model)
    first = next(model.parameters())
    on_gpu = first.device.type == 'cuda'
    device = torch.cuda.get_device_name(first.device) if on_gpu else first.device.type
    count = sum(p.numel() for p in model.parameters())
    text = f'{type(model).__name__}, {count:,} parameters'
    if is_sharded(model):  # torch puts its name in front of the class's
        share = f'1/{get_world_size()} in each process (FSDP)'
        text = f'{text.removeprefix("FSDP")}, {share}'
    return {
        'config': runner.cfg.filename or runner.experiment_name,
        'model': text,
        'device': device,
    }


def _batch(loader: DataLoader, accumulate: int = 1) -> str:
    processes = get_world_size()
    batch = loader.batch_size or 1
    parts = f'{processes} process{"es" * (processes > 1)} x {batch} samples'
    parts += f' x accumulate {accumulate}' * (accumulate > 1)
    return f'{parts} = {processes * batch * accumulate:,}'


def _start_worker(start: Callable[[int], object] | None, number: int) -> None:
    be_a_worker()
    if start is not None:
        start(number)


def _for_users(record: logging.LogRecord) -> bool:
    """Tell whether the console shows a record, by the module that logged it."""
    module, function = _origin()
    if record.levelno >= logging.WARNING:
        return not _within(module, _NOT_FOR_USERS)
    in_table = function == 'before_train' and module == 'mmengine.hooks.checkpoint_hook'
    return _within(module, _SHOWN) and not in_table and not _is_run_name(record)


def _is_run_name(record: logging.LogRecord) -> bool:
    """Tell mmengine's line of a run's name from its progress: the text alone differs."""
    return record.getMessage().startswith('Exp name: ')


def _within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f'{name}.') for name in names)


def _origin() -> tuple[str, str]:
    """Module and function of a record that is being handled; mmengine's print_log hides them."""
    frame = sys._getframe(2)
    while frame.f_back and _within(frame.f_globals['__name__'], ('logging', 'mmengine.logging')):
        frame = frame.f_back
    return frame.f_globals['__name__'], frame.f_code.co_name
