"""A batch whose loss or gradient is not finite, computed again to see where it begins."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmc2fmae.engine.batches import batch_length, sample_names, take
from mmc2fmae.errors import shown

LOSSES = ('loss', 'loss_by_feat')  # methods of heads, which are called past their forward


class _Seen(NamedTuple):
    """Something that was computed.

    Args:
        name: Module.
        finite: Whether all of it is finite.
        samples: Which samples are not, None where its rows are no samples.
    """

    name: str
    finite: bool
    samples: list[int] | None


class RandomState:
    """The state of all generators of the process, to draw the same again."""

    def __init__(self) -> None:
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def restore(self) -> None:
        """Set the generators back."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


def find_non_finite(
    model: BaseModel, batch: Mapping, dtype: torch.dtype | None = None
) -> str | None:
    """Compute a batch forward and backward, and say where it stops being finite.

    Weights, gradients and running statistics are left as they were.

    Args:
        model: The model itself, not its wrapper.
        batch: A batch as the data loader gave it.
        dtype: Type of mixed precision; None computes in fp32.

    Returns:
        The first module, or loss, whose output or gradient is not finite, and the files of the
        samples; None where all is finite.
    """
    lost = [n for n, p in model.named_parameters() if not torch.isfinite(p).all()]
    if lost:
        return f'weights are not finite before the step: {len(lost)} tensors, first {lost[0]}'
    length = batch_length(batch)
    device = next(model.parameters()).device.type
    mixed = torch.autocast(device, dtype) if dtype else torch.autocast(device, enabled=False)
    with _kept_buffers(model), mixed:
        found = _look(model, batch, length)
        if found is None:
            return None
        what, samples = found
        if samples is None:
            samples = _one_by_one(model, batch, length)
    names = sample_names(batch) or [f'sample {i} of the batch' for i in range(length)]
    if samples is None:
        return f'{what}; which sample cannot be told apart, the batch starts with {names[:3]}'
    if len(samples) == length > 1:
        return f'{what}; for all {length} samples of the batch, which starts with {names[:3]}'
    said = ', '.join(names[i] for i in samples[:5])
    return f'{what}; sample{"s" * (len(samples) > 1)}: {said}{", ..." * (len(samples) > 5)}'


def _look(model: BaseModel, batch: Mapping, length: int) -> tuple[str, list[int] | None] | None:
    """Return what is not finite first, and for which samples."""
    pixels = _seen('inputs', batch['inputs'], length)  # before mixup spreads them
    if not pixels.finite:
        return 'the pixels are not finite', pixels.samples
    data = model.data_preprocessor(batch, True)
    forward: list[_Seen] = []
    backward: list[_Seen] = []
    with _watched(model, forward, backward, length):
        losses = model._run_forward(data, mode='loss')
        total, parts = model.parse_losses(losses)
        first = next((seen for seen in forward if not seen.finite), None)
        values = {k: float(torch.as_tensor(v).detach()) for k, v in parts.items()}
        bad = {k: v for k, v in values.items() if not isfinite(v)}
        if first or bad:
            name = next((k for k in bad if k != 'loss'), 'loss')
            place = f'output of {first.name}' if first else name
            said = f' (losses {shown(bad, 120)})' if bad else ''
            return f'the first that is not finite is the {place}{said}', first and first.samples
        weights = dict(model.named_parameters())
        trained = {name: p for name, p in weights.items() if p.requires_grad}
        forward.append(_Seen('', True, None))  # what is computed again in backward is no output
        gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
    return _look_back(backward, dict(zip(trained, gradients, strict=True)))


def _look_back(
    backward: list[_Seen], gradients: dict[str, Tensor | None]
) -> tuple[str, list[int] | None] | None:
    """Return the module in whose backward pass gradients stop being finite."""
    behind = 'the loss'
    for seen in backward:
        if not seen.finite:
            return (
                f'the loss is finite, its gradient is not: first behind the output of {seen.name}, '
                f'in the backward pass of {behind}'
            ), seen.samples
        behind = seen.name
    lost = [n for n, g in gradients.items() if g is not None and not torch.isfinite(g).all()]
    return (f'the loss is finite, the gradient of {lost[0]} is not', None) if lost else None


def _one_by_one(model: BaseModel, batch: Mapping, length: int) -> list[int] | None:
    """Return the samples that are not finite by themselves, None where that does not show."""
    if any(isinstance(part, nn.SyncBatchNorm) for part in model.modules()):
        return None  # the processes would wait for each other
    try:  # twice the same, for norms that need two samples
        alone = [_look(model, take(batch, [i, i], length), 2) for i in range(length)]
    except (RuntimeError, ValueError):  # a model that takes whole batches alone
        return None
    return [i for i, found in enumerate(alone) if found] or None


@contextmanager
def _watched(
    model: nn.Module, forward: list[_Seen], backward: list[_Seen], length: int
) -> Iterator[None]:
    """Note the outputs of all modules, in order, and their gradients as they come."""

    def note_back(name: str, gradient: Tensor) -> None:
        backward.append(_seen(name, gradient, length))

    def note(name: str, output: Any) -> None:
        if forward and not forward[-1].name:  # in the backward pass
            return
        forward.append(_seen(name, output, length))
        for tensor in _tensors(output):
            if tensor.requires_grad:
                tensor.register_hook(partial(note_back, name))

    def noting(name: str, method: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            output = method(*args, **kwargs)
            note(name, output)
            return output

        return call

    handles, methods = [], []
    for name, part in model.named_modules():
        if part is model:
            continue
        handles.append(part.register_forward_hook(lambda m, i, out, name=name: note(name, out)))
        for method in LOSSES:
            if callable(getattr(part, method, None)):
                object.__setattr__(part, method, noting(f'{name}.{method}', getattr(part, method)))
                methods.append((part, method))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part, method in methods:
            object.__delattr__(part, method)


def _seen(name: str, value: Any, length: int) -> _Seen:
    if isinstance(value, list) and len(value) == length:  # a tensor a sample
        bad = [i for i, part in enumerate(value) if not _seen(name, part, 0).finite]
        return _Seen(name, not bad, bad)
    finite, samples = True, None
    for tensor in _tensors(value):
        if not torch.isfinite(tensor).all():
            finite = False
            if length and tensor.dim() and len(tensor) and len(tensor) % length == 0:
                good = torch.isfinite(tensor.detach()).flatten(1).all(1).view(length, -1).all(1)
                samples = (~good).nonzero().flatten().tolist()
            break
    return _Seen(name, finite, samples)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _tensors(part)


@contextmanager
def _kept_buffers(model: nn.Module) -> Iterator[None]:
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
