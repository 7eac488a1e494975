"""Batches of any OpenMMLab framework: who is in them, and parts of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor


def sample_names(data_batch: Mapping) -> list[str]:
    """Return the file names of a batch of pre-training or of any OpenMMLab framework."""
    if 'path' in data_batch:
        return list(data_batch['path'])
    return [str(sample.metainfo.get('img_path')) for sample in data_batch.get('data_samples', ())]


def batch_length(batch: Any) -> int:
    """Return the number of samples of a batch, 0 where it does not show."""
    if isinstance(batch, Mapping):
        return next(filter(None, map(batch_length, batch.values())), 0)
    if isinstance(batch, Tensor):
        return len(batch) if batch.dim() else 0
    return len(batch) if isinstance(batch, Sequence) and not isinstance(batch, str) else 0


def take(batch: Any, which: Sequence[int], length: int | None = None) -> Any:
    """Return some samples of a batch, as a batch of the same structure.

    Args:
        batch: Tensors and lists of one row a sample, in mappings.
        which: Indices of the samples.
        length: Number of samples; what has another length belongs to no sample and stays.
    """
    length = batch_length(batch) if length is None else length
    if isinstance(batch, Mapping):
        return {key: take(part, which, length) for key, part in batch.items()}
    if batch_length(batch) != length:
        return batch
    if isinstance(batch, Tensor):
        return batch[list(which)]
    return [batch[i] for i in which]
