"""SIGTERM and SIGUSR1: save after the next step, wherever in an epoch, and leave."""

import signal
import threading
from types import FrameType
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed

from mmc2fmae.engine.checkpoint_hook import save_iteration
from mmc2fmae.torchrun import LEFT, POLLS, STOP, launcher_folder

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interruption(Exception):
    """A run was told to end and has saved where it was; the message says how it goes on."""


class InterruptionHook(Hook):
    """Save and end a training that is told to, all processes after the same step.

    A process is told by SIGTERM or SIGUSR1, or by tools/dist_train.sh, which starts it and takes
    the signal. Processes tell each other through gloo, whose answer is read an iteration later, so
    that nothing waits for it.
    """

    priority = 'LOWEST'  # after schedules have stepped and checkpoints are written

    def __init__(self) -> None:
        self.told = ''
        self.folder = launcher_folder()
        self.asked: tuple[Any, torch.Tensor] | None = None
        self.group: Any = None

    def before_train(self, runner: Runner) -> None:
        """Take the signals from here on; before, there is nothing to save."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._take)
        if get_world_size() > 1:
            self.group = distributed.new_group(backend='gloo')
        if self.folder:
            (self.folder / POLLS).touch()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.told = signal.Signals(number).name

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save and leave, where a process was told to.

        Raises:
            Interruption: It was; the state is saved.
        """
        self._listen()
        if self._agreed() and runner.optim_wrapper.should_update():
            path = save_iteration(runner)
            if self.group is not None:
                distributed.barrier(self.group)  # nobody leaves before it is on disk
            self._leave(f'saved {path} at iteration {runner.iter + 1}')

    def _listen(self) -> None:
        if self.folder and not self.told and (self.folder / STOP).exists():
            self.told = 'a signal to the launcher'

    def _agreed(self) -> bool:
        """Return whether a process was told before the last iteration; all get the same answer."""
        if self.group is None:
            return bool(self.told)
        if self.asked is not None:
            work, answer = self.asked
            work.wait()
            if answer.item():
                return True  # and for ever: the question stays as it is
        answer = torch.tensor(float(bool(self.told)))
        work = distributed.all_reduce(answer, group=self.group, async_op=True)
        self.asked = work, answer
        return False

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Leave from within a validation, where one process is alone and all before is on disk.

        Several processes finish it: they take parts of it, and meet at its end.

        Raises:
            Interruption: The process was told to.
        """
        known = runner.message_hub.runtime_info
        if self.told and self.group is None and known.get('saved_iter') == runner.iter:
            self._leave(f'{known.get("last_ckpt")} was saved, its validation will not be repeated')

    def _leave(self, what: str) -> None:
        if self.folder:
            (self.folder / LEFT).touch()
        raise Interruption(
            f'{self.told or "a signal to another process"}: {what}; the same command with --resume '
            'goes on from there'
        )

    def after_train(self, runner: Runner) -> None:
        """Hear the last answer, so that nobody is left asking."""
        if self.asked is not None:
            self.asked[0].wait()
