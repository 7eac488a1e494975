"""The order of a bundle's samples for machines that hold a few shards at a time."""

from collections.abc import Iterator

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS

from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.errors import DatasetError


@DATA_SAMPLERS.register_module()
class ShardSampler(DefaultSampler):
    """Shuffle shards, and samples over a window of shards that slides along.

    Samples of the p-th shard of an epoch get keys uniform in p + 1/2 -/+ window / 2, thrown back at
    both ends of the epoch, and follow by key: at any time those of ``window`` shards are mixed (of
    half as many at the ends), and a shard is done with once the window has passed. The order
    depends on seed and epoch alone; processes take every n-th sample of it, as with
    :class:`mmengine.dataset.DefaultSampler`.

    Args:
        dataset: A MultiGranularDataset that reads a bundle.
        window: Shards that are mixed.
        **kwargs: ``shuffle``, ``seed`` and ``round_up`` of DefaultSampler.

    Raises:
        DatasetError: The data set reads no bundle.
        ValueError: The window is below 1.
    """

    def __init__(self, dataset: MultiGranularDataset, window: int = 16, **kwargs) -> None:
        if getattr(dataset, 'shards', None) is None:
            raise DatasetError(
                'ShardSampler needs a bundle, the data set reads files: leave the sampler as it '
                'was, or point --data-root at a bundle (docs/bundles.md)'
            )
        if window < 1:
            raise ValueError(f'window of ShardSampler is {window}: expected at least 1 shard')
        super().__init__(dataset, **kwargs)
        self.window = window

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of this process."""
        if not self.shuffle:
            return super().__iter__()
        shards = np.unique(self.dataset.shards, return_inverse=True)[1]
        rng = np.random.Generator(np.random.Philox(key=[self.seed, self.epoch]))
        number = int(shards.max()) + 1
        spread = min(self.window, number) * (rng.random(len(shards)) - 0.5)
        keys = np.abs(rng.permutation(number)[shards] + 0.5 + spread)
        order = np.argsort(number - np.abs(number - keys), kind='stable')
        if self.round_up:
            order = np.resize(order, self.total_size)  # the first ones again
        return iter(order[self.rank : self.total_size : self.world_size].tolist())
