"""Checkpoints that are whole or absent: written aside, flushed to disk, then renamed."""

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmc2fmae.checkpoints.finding import LAST
from mmc2fmae.checkpoints.wrappers import unwrap
from mmc2fmae.engine.loops import SEEN, samples_seen
from mmc2fmae.files import write_atomically


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """Local files, written atomically; mmengine's own backend leaves half a file when killed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``; see :func:`write_atomically`.

        Raises:
            OSError: The disk is full or not writable.
        """
        try:
            write_atomically(obj, filepath)
        except OSError as error:
            raise OSError(
                f'{filepath} cannot be written ({error.strerror or error}), {len(obj) / 2**20:.0f} '
                'MiB are needed: earlier checkpoints are whole; free space or make the disk '
                'writable, then continue with --resume'
            ) from error


def save_iteration(runner: Runner) -> str:
    """Save a training in the middle of an epoch, after the current iteration, and return the file.

    The next checkpoint of :class:`AtomicCheckpointHook` takes its place.

    Args:
        runner: Runner of a training, called from ``after_train_iter``.

    Raises:
        OSError: The disk is full or not writable.
    """
    hub, name = runner.message_hub, f'iter_{runner.iter + 1}.pth'
    path = os.path.join(runner.work_dir, name)
    if hub.runtime_info.get('saved_iter') == runner.iter + 1:  # a checkpoint was due, too
        return str(hub.get_info('last_ckpt'))
    outdated = hub.runtime_info.get('interrupted')
    hub.update_info_dict(dict(interrupted=name, last_ckpt=path, saved_iter=runner.iter + 1))
    if hasattr(runner.train_loop, 'first_iter'):
        hub.update_info(SEEN, samples_seen(runner))
    backend = dict(backend='atomic')
    runner.save_checkpoint(runner.work_dir, name, by_epoch=False, backend_args=backend)
    if runner.rank == 0:
        write_atomically(path.encode(), Path(runner.work_dir, LAST))
        if outdated not in (None, name):
            Path(runner.work_dir, outdated).unlink(missing_ok=True)
    return path


class ChosenWeightsHook(Hook):
    """Test the averaged (EMA) or the raw weights of a checkpoint that has both.

    The log says which; before any hook that averages copies them.

    Args:
        which: 'ema' or 'raw'; None takes those that the run was validated with.
    """

    priority = 'VERY_HIGH'

    def __init__(self, which: str | None = None) -> None:
        self.which = which

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the weights where the runner reads them.

        Raises:
            CheckpointMismatch: The checkpoint has no such weights.
        """
        checkpoint['state_dict'] = unwrap(checkpoint, runner._load_from, self.which)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, but a crash at any moment leaves a whole checkpoint behind.

    Checkpoints are written atomically, and an outdated one goes only after its successor is on
    disk (mmengine's hook deletes first).
    """

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = os.path.join(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.message_hub.update_info('saved_iter', runner.iter + (not self.by_epoch))
        if interrupted := runner.message_hub.runtime_info.pop('interrupted', None):
            outdated.append(interrupted)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=dict(backend='atomic'),
            **self.args,
        )
        if runner.rank == 0:
            write_atomically(self.last_ckpt.encode(), Path(runner.work_dir, LAST))
            for old in outdated:
                if old != name:
                    Path(self.out_dir, old).unlink(missing_ok=True)
