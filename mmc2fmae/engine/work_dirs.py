"""A work dir belongs to one run: another one does not start among its checkpoints and logs."""

import os
from pathlib import Path

from mmc2fmae.checkpoints.finding import LAST, run_checkpoints
from mmc2fmae.engine.console import is_first_process, say


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
