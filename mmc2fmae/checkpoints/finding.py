"""Which checkpoint a folder stands for: the newest whole one of a run, or a model's weights."""

import re
import zipfile
from pathlib import Path

from mmengine.logging import print_log

from mmc2fmae.checkpoints.files import FOLDER_WEIGHTS
from mmc2fmae.files import AnyPath


def latest_checkpoint(work_dir: AnyPath) -> Path | None:
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


def find_checkpoint(source: str | Path) -> Path:
    """Return a checkpoint: the file itself, or that of a folder.

    Args:
        source: Checkpoint, work dir of a run (its newest whole checkpoint), or Hugging Face folder.

    Raises:
        FileNotFoundError: There is none.
    """
    path = Path(source)
    if path.is_dir():
        weights = [path / name for name in FOLDER_WEIGHTS if (path / name).is_file()]
        newest = weights[0] if weights else latest_checkpoint(path)
        if newest is None:
            raise FileNotFoundError(
                f'{path} holds no whole epoch_N.pth or iter_N.pth and no {FOLDER_WEIGHTS[0]}'
            )
        return newest
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    return path
