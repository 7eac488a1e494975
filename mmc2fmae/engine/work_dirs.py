"""A work dir belongs to one run: another one does not start among its checkpoints and logs."""

import fcntl
import os
import socket
from pathlib import Path
from typing import TextIO

from mmc2fmae.checkpoints.finding import LAST, run_checkpoints
from mmc2fmae.engine.console import is_first_process, say

_held: dict[Path, TextIO] = {}


def hold(work_dir: str | Path) -> None:
    """Keep other processes from training in a folder, as long as this one lives or holds it.

    The system lets go of the lock when a process dies, however it does, so none is ever stale. The
    first process of a run holds it; a disk without locks is taken as it is.

    Args:
        work_dir: Folder of the run.

    Raises:
        FileExistsError: Another process trains there.
    """
    folder = Path(work_dir).resolve()
    if not is_first_process() or folder in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / '.lock', 'a+', encoding='utf-8')  # noqa: SIM115  (open while it holds)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or 'another process'
        file.close()
        raise FileExistsError(
            f'{work_dir} is in use by {holder}, which trains there: wait for it, end it, or take '
            'another folder (--work-dir)'
        ) from error
    except OSError:  # a disk without locks
        pass
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    _held[folder] = file


def let_go(work_dir: str | Path) -> None:
    """Let others train in a folder again."""
    file = _held.pop(Path(work_dir).resolve(), None)
    if file is not None:
        file.close()


def claim(work_dir: str | Path, overwrite: bool = False) -> None:
    """Make sure that a new run is alone in its folder; nothing is deleted.

    What an earlier run left is set aside into ``earlier_N`` of the folder: its logs where it wrote
    no checkpoint, otherwise all of it, if that is asked for.

    Args:
        work_dir: Folder of the new run.
        overwrite: Set the checkpoints of another run aside.

    Raises:
        FileExistsError: The folder holds checkpoints of another run.
    """
    folder = Path(work_dir)
    checkpoints = run_checkpoints(folder)
    if checkpoints and not overwrite:
        raise FileExistsError(
            f'{folder} holds {len(checkpoints)} checkpoints of another run, the last is '
            f'{checkpoints[0].name}: continue it (--resume), take another folder (--work-dir), or '
            'start anew with the old run set aside in it (--overwrite)'
        )
    if not is_first_process():  # one moves, the others do not look for what it has moved
        return
    logs = [path.parents[1] for path in folder.glob('*/vis_data/scalars.json')]
    old = [*checkpoints, *folder.glob('best_*.pth'), *folder.glob(LAST), *logs]
    old += [path for path in folder.glob('*.py') if logs]  # its config
    if not old:
        return
    number = 1 + sum(1 for _ in folder.glob('earlier_*'))
    aside = folder / f'earlier_{number}'
    aside.mkdir()
    for path in old:
        os.replace(path, aside / path.name)
    say(f'{len(old)} files and folders of an earlier run in {folder} are set aside in {aside}')
