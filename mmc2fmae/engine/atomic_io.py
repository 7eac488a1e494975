"""Checkpoints that are whole or absent: written aside, flushed to disk, then renamed."""

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS


@contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file to write whose name appears, with the full content, when the block ends.

    Args:
        path: Final name; missing folders are made.

    Raises:
        OSError: The disk is full or not writable; an older file of that name is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f'.{path.name}.tmp')
    try:
        with open(aside, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)  # a full disk gets back what was taken
        raise


def write_atomically(data: bytes, path: str | os.PathLike) -> None:
    """Write a file so that its name never shows anything but its full content.

    Args:
        data: Content.
        path: Final name; missing folders are made.

    Raises:
        OSError: The disk is full or not writable; an older file of that name is untouched.
    """
    with atomic_file(path) as file:
        file.write(data)


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


def latest_checkpoint(work_dir: str | os.PathLike) -> Path | None:
    """Find the newest whole checkpoint of a run.

    Args:
        work_dir: Folder of the run, with ``epoch_N.pth`` or ``iter_N.pth`` files.

    Returns:
        Its path, or None where there is none. A truncated file is passed over and named in the
        log.
    """
    numbered = []
    for path in Path(work_dir).glob('*.pth'):
        match = re.fullmatch(r'(?:epoch|iter)_(\d+)', path.stem)
        if match:
            numbered.append((int(match[1]), path))
    for _, path in sorted(numbered, reverse=True):
        if zipfile.is_zipfile(path):  # the archive's directory is its end: cut files have none
            return path
        print_log(f'{path} is truncated and not resumed from', logger='current')
    return None
