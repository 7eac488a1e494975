"""What ends a run from outside, in one line: memory, a lost process."""

import math
import re
from collections.abc import Callable
from typing import TypeVar

import torch
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from mmc2fmae.engine.sharding import is_sharded, own_part
from mmc2fmae.errors import RunStopped, shown

_LOST = re.compile(r'\bgloo\b|\bnccl\b|TCPStore|Connection (closed|reset|refused)', re.IGNORECASE)
SPARE = 0.9  # of the memory is planned with: some is lost between tensors


Result = TypeVar('Result')


def run_told(build: Callable[[], Runner], go: Callable[[Runner], Result]) -> Result:
    """Build a runner and let it go; what ends it from outside is one line.

    Args:
        build: Builds the runner.
        go: Trains or tests.

    Raises:
        RunStopped: Memory ran out, or another process of the run is gone.
    """
    runner = None
    try:
        runner = build()
        return go(runner)
    except RuntimeError as error:
        told = explain(error, runner)
        if told is None:
            raise
        raise told from error


def explain(error: RuntimeError, runner: Runner | None) -> RunStopped | None:
    """Return in one line what stopped a run, None where the error is another one.

    Args:
        error: What was raised.
        runner: Runner of a training or test, None before it was built.
    """
    if isinstance(error, RunStopped):  # of a data worker, whose traceback torch puts in front
        return RunStopped(str(error).strip().rpartition(f'{RunStopped.__name__}: ')[2])
    if isinstance(error, torch.OutOfMemoryError):
        return RunStopped(_out_of_memory(error, runner))
    if type(error).__module__.startswith(('torch._dynamo', 'torch._inductor')):
        said = shown(' '.join(str(error).split()), 200)
        return RunStopped(
            f'torch.compile cannot compile the model here ({said}): leave --compile out; where a '
            'compiler is missing, install it (g++), otherwise --debug shows where'
        )
    if isinstance(error, torch.distributed.DistError) or _LOST.search(str(error)):
        said = shown(str(error).strip().partition('\n')[0], 160)
        return RunStopped(
            f'another process of the run is gone, or does not answer; it says why itself ({said})'
        )
    return None


def _out_of_memory(error: Exception, runner: Runner | None) -> str:
    said = str(error).strip().partition('\n')[0][:200]
    if runner is None or runner._train_loop is None:
        return f'out of memory ({said}): take a smaller --batch-size'
    batch = runner.cfg.train_dataloader.batch_size
    accumulate = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    total = batch * get_world_size() * accumulate
    parts, fits = [f'out of memory with a batch of {batch} at iteration {runner.iter + 1}'], None
    if torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        fits = fitting_batch(batch, fixed_bytes(runner), torch.cuda.max_memory_allocated(), whole)
        gib = 2**30
        parts.append(
            f'weights, gradients and optimizer take {fixed_bytes(runner) / gib:.1f} GiB, the most '
            f'at once was {torch.cuda.max_memory_allocated() / gib:.1f} of {whole / gib:.1f} GiB'
        )
    share = batch * accumulate  # of a process in a step
    most = batch / 2 if fits is None else fits
    fits = max((n for n in range(1, batch) if share % n == 0 and n <= most), default=0)
    if fits:
        parts.append(f'take --batch-size {fits} --total-batch {total}, the step is the same')
    others = ['a smaller --size'] if not fits else []
    backbone = getattr(getattr(runner.model, 'module', runner.model), 'backbone', None)
    if getattr(backbone, 'checkpointing', None) is False:
        others.append('--cfg-options model.backbone.checkpointing=True')
    if runner.cfg.optim_wrapper.get('type') != 'AmpOptimWrapper':
        others.append('--amp')
    if not fits and get_world_size() > 1 and not is_sharded(runner.model):
        others.append('--shard')
    return '; '.join(parts) + (f'; or {" or ".join(others)}' if others else '') + f' ({said})'


def fixed_bytes(runner: Runner) -> int:
    """Return what a process keeps between steps: weights, gradients, state of the optimizer."""
    weights = list(runner.model.parameters())
    trained = [p for p in weights if p.requires_grad]
    kept = sum(map(_bytes, weights)) + sum(map(_bytes, trained))
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
    state = [v for values in getattr(optimizer, 'state', {}).values() for v in values.values()]
    held = sum(_bytes(v) for v in state if isinstance(v, torch.Tensor))
    return kept + (held or 2 * sum(4 * own_part(p).numel() for p in trained))


def _bytes(value: torch.Tensor) -> int:
    part = own_part(value)
    return part.numel() * part.element_size()


def fitting_batch(batch: int, fixed: int, peak: int, whole: int) -> int:
    """Return the batch that a measured peak lets expect to fit.

    Args:
        batch: Batch that did not fit.
        fixed: Bytes that do not depend on it.
        peak: Most bytes at once, of a step that fitted or until memory ran out.
        whole: Bytes of the device.
    """
    each = max(peak - fixed, 1) / batch
    fits = math.floor(max(SPARE * whole - fixed, 0) / each)
    return min(fits, batch - 1)
