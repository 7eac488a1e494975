"""An epoch that was interrupted goes on where it stood."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from mmengine.dist import get_world_size
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

SEEN = 'samples_of_the_epoch'  # what a checkpoint within an epoch says of it


def samples_seen(runner: Runner) -> int:
    """Return the samples that the current epoch has seen with the iteration that ends."""
    batches = runner.iter + 1 - runner.train_loop.first_iter
    return batches * runner.cfg.train_dataloader.batch_size * get_world_size()


class _Rest:
    """The batches of a sampler; the first time round without those that were seen."""

    def __init__(self, batches: Any, seen: int) -> None:
        self.batches, self.seen = batches, seen
        self.sampler = getattr(batches, 'sampler', None)

    def __iter__(self) -> Iterator[list[int]]:
        # Runs with the first batch, not with iter(), which loaders call more than once a pass.
        seen, self.seen = self.seen, 0
        yield from islice(self.batches, seen, None)

    def __len__(self) -> int:
        return len(self.batches)


def skip_batches(loader: DataLoader, number: int) -> None:
    """Let the next pass over a data loader begin after some batches, without reading them.

    Args:
        loader: The loader; persistent workers may not have started.
        number: Batches to leave out.
    """
    # The loader's own attributes cannot be set; its iterator asks for this one by name.
    loader.__dict__['batch_sampler'] = _Rest(loader.batch_sampler, number)


@LOOPS.register_module()
class ContinuedEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs, which a checkpoint from within an epoch continues there.

    Every draw of the data is keyed by seed, epoch and sample, so the rest of the epoch is the same
    as if nothing had happened.
    """

    first_iter = 0  # of the epoch, as if it had not been interrupted
    batches: Callable[[DataLoader], Iterable] = iter  # what makes batches of the data loader's

    def run_epoch(self) -> None:
        """Iterate one epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        samples = self.runner.message_hub.runtime_info.pop(SEEN, 0)
        step = self.runner.cfg.train_dataloader.batch_size * get_world_size()
        seen = -(-samples // step)
        if seen:
            self.runner.logger.info(
                f'epoch {self._epoch + 1} goes on after {samples:,} samples, {seen:,} of '
                f'{len(self.dataloader):,} batches'
            )
            skip_batches(self.dataloader, seen)
        self.first_iter = self._iter - seen
        for idx, data_batch in enumerate(self.batches(self.dataloader), seen):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
