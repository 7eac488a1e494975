"""Checkpoints that are whole or absent: written aside, flushed to disk, then renamed."""

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from mmc2fmae.files import write_atomically


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """Local files, written atomically; mmengine's own backend leaves half a file when killed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``; see :func:`write_atomically`."""
        write_atomically(obj, filepath)


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
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = os.path.join(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
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
            write_atomically(self.last_ckpt.encode(), Path(runner.work_dir, 'last_checkpoint'))
            for old in outdated:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)
