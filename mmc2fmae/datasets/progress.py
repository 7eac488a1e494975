"""What the data workers must know of a run, in shared memory: seed, epoch, progress."""

import numpy as np
import torch


class DataProgress:
    """Seed, epoch and curriculum progress t, visible to persistent workers as soon as they are set.

    The values lie in shared memory: a hook writes them before an epoch's iterator starts, workers
    read them for every sample.
    """

    def __init__(self) -> None:
        self._state = torch.zeros(3, dtype=torch.float64).share_memory_()

    def set(self, seed: int, epoch: int, t: float) -> None:
        """Set the seed, the epoch (from 0) and the training progress t in [0, 1]."""
        self._state.copy_(torch.tensor([seed, epoch, t], dtype=torch.float64))

    @property
    def t(self) -> float:
        """Training progress in [0, 1]."""
        return float(self._state[2])

    def rng(self, index: int) -> np.random.Generator:
        """Return the random generator of one sample in the current epoch.

        Draws depend on (seed, epoch, sample index) alone: not on the worker, the process or what
        was drawn before, so a run repeats with any number of workers and after any interruption.
        """
        seed, epoch, _ = self._state.tolist()
        return np.random.Generator(np.random.Philox(key=[int(seed), (int(epoch) << 40) + index]))
