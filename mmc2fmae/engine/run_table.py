"""What a run is, as one table in the log before its first step."""

from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mmc2fmae.engine.sharding import is_sharded


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
            'batch': batch_text(runner.test_dataloader),
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
        'batch': batch_text(loader, cfg.optim_wrapper.get('accumulative_counts', 1)),
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


def batch_text(loader: DataLoader, accumulate: int = 1) -> str:
    """Return how many samples a step takes, and how they come together."""
    processes = get_world_size()
    batch = loader.batch_size or 1
    parts = f'{processes} process{"es" * (processes > 1)} x {batch} samples'
    parts += f' x accumulate {accumulate}' * (accumulate > 1)
    return f'{parts} = {processes * batch * accumulate:,}'
