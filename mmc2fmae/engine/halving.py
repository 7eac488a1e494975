"""Evaluation that runs out of memory goes on with half a batch."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from mmc2fmae.engine.batches import batch_length, take
from mmc2fmae.files import say_once


class Halving:
    """Call a function of a batch; where memory runs out, call it with half as many samples.

    The smaller number holds for all later batches, and is said once.

    Args:
        function: Takes a batch and returns a list, a tensor, or a mapping of these, with a row a
            sample.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.most: int | None = None

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns for the whole batch.

        Raises:
            torch.OutOfMemoryError: One sample is too many.
        """
        length = batch_length(batch)
        if self.most is None or length <= self.most:
            try:
                return self.function(batch, *args, **kwargs)
            except torch.OutOfMemoryError:
                if length < 2:
                    raise
            # Out of the except block, whose traceback would keep the failed step's memory.
            torch.cuda.empty_cache()
            self.most = (length + 1) // 2
            say_once(
                f'out of memory with a batch of {length} in evaluation: going on with '
                f'{self.most} at a time, the results are the same (--batch-size {self.most} '
                'says so from the start)'
            )
        step = self.most
        parts = [
            self(take(batch, range(i, min(i + step, length)), length), *args, **kwargs)
            for i in range(0, length, step)
        ]
        return _joined(parts)


def _joined(parts: Iterable[Any]) -> Any:
    parts = list(parts)
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    if isinstance(parts[0], Mapping):
        return {key: _joined(part[key] for part in parts) for key in parts[0]}
    return [row for part in parts for row in part]
