import numpy as np
import pytest
from mmengine.dataset import DefaultSampler

from mmc2fmae.datasets import MultiGranularDataset, ShardSampler
from mmc2fmae.errors import DatasetError


class Bundled:
    """What a sampler asks of a data set: 40 shards of 25 samples each."""

    shards = np.random.default_rng(0).permutation(1000).astype(np.uint32) // 25

    def __len__(self):
        return 1000


def order(epoch=0, rank=0, world=1, **options):
    sampler = ShardSampler(Bundled(), seed=7, **options)
    sampler.rank, sampler.world_size = rank, world
    sampler.total_size = -(-1000 // world) * world
    sampler.set_epoch(epoch)
    return list(sampler)


def fetched(indices, room):
    """How many shards a machine fetches that gives up the one it opened first."""
    kept, number = [], 0
    for shard in Bundled.shards[indices].tolist():
        if shard not in kept:
            kept, number = [*kept, shard][-room:], number + 1
    return number


def test_every_sample_comes_once_in_an_order_of_its_own_each_epoch():
    first, second = order(), order(epoch=1)
    assert sorted(first) == sorted(second) == list(range(1000))
    assert first == order() and first != second
    shards = Bundled.shards[first].tolist()
    assert [len(set(shards[i : i + 50])) > 7 for i in (0, 500, 950)] == [True] * 3  # mixed


def test_processes_share_the_order_of_one():
    whole = order()
    parts = [order(rank=rank, world=3) for rank in range(3)]
    assert [len(part) for part in parts] == [334, 334, 334]
    dealt = [part[i] for i in range(334) for part in parts]
    assert dealt == whole + whole[:2]  # rounded up by the first ones


def test_a_machine_with_room_for_the_window_fetches_each_shard_once():
    assert fetched(order(), room=22) == 40
    default = DefaultSampler(Bundled(), seed=7)
    assert fetched(list(default), room=22) > 400
    assert fetched(order(window=1), room=2) == 40
    assert order(shuffle=False) == list(range(1000))


def test_files_and_windows_of_no_shard_are_refused(data_root):
    with pytest.raises(DatasetError, match='needs a bundle, the data set reads files'):
        ShardSampler(MultiGranularDataset(str(data_root), pipeline=[]))
    with pytest.raises(ValueError, match='window of ShardSampler is 0: expected at least 1'):
        ShardSampler(Bundled(), window=0)
