"""Which checkpoint a folder stands for: the last whole one of a run, or a model's weights."""

import re
import zipfile
from pathlib import Path

from mmengine.logging import print_log

from mmc2fmae.files import AnyPath

# Names under which Hugging Face and timm folders keep weights beside a config.json.
FOLDER_WEIGHTS = ('model.safetensors', 'pytorch_model.bin')
# They may be cut into several files, which an index lists.
FOLDER_FILES = (*FOLDER_WEIGHTS, *(f'{name}.index.json' for name in FOLDER_WEIGHTS))
LAST = 'last_checkpoint'  # in which a run notes what it wrote last


def progress_of(checkpoint: AnyPath) -> tuple[str, int] | None:
    """Return where a training stood: ('epoch', 3), or ('iter', 108), which may be within an epoch.

    Args:
        checkpoint: File, as a run names it; None for another name.
    """
    found = re.fullmatch(r'(epoch|iter)_(\d+)', Path(checkpoint).stem)
    return (found[1], int(found[2])) if found else None


def run_checkpoints(work_dir: AnyPath) -> list[Path]:
    """Return the checkpoints of a run, the one that it wrote last first.

    Args:
        work_dir: Folder of the run, with ``epoch_N.pth`` or ``iter_N.pth`` files. What is not noted
            in ``last_checkpoint`` goes by its number.
    """
    folder = Path(work_dir)
    found = [(progress_of(path), path) for path in folder.glob('*.pth')]
    paths = [p for _, p in sorted(((at[1], p) for at, p in found if at), reverse=True)]
    try:
        noted = Path((folder / LAST).read_text(encoding='utf-8').strip()).name
    except (OSError, ValueError):  # none, or no text
        return paths
    return sorted(paths, key=lambda path: path.name != noted)  # stable: the others stay in order


def latest_checkpoint(work_dir: AnyPath) -> Path | None:
    """Find the whole checkpoint that a run wrote last.

    Args:
        work_dir: Folder of the run; see :func:`run_checkpoints`.

    Returns:
        Its path, or None where there is none. A truncated file is passed over and named in the
        log.
    """
    for path in run_checkpoints(work_dir):
        if zipfile.is_zipfile(path):  # the archive's directory is its end: cut files have none
            return path
        print_log(f'{path} is truncated and not resumed from', logger='current')
    return None


def find_checkpoint(source: str | Path) -> Path:
    """Return a checkpoint: the file itself, or that of a folder.

    Args:
        source: Checkpoint, work dir of a run (the whole checkpoint that it wrote last), or Hugging
            Face folder.

    Raises:
        FileNotFoundError: There is none.
    """
    path = Path(source)
    if path.is_dir():
        weights = [path / name for name in FOLDER_FILES if (path / name).is_file()]
        newest = weights[0] if weights else latest_checkpoint(path)
        if newest is None:
            raise FileNotFoundError(
                f'{path} holds no whole epoch_N.pth or iter_N.pth and none of '
                f'{", ".join(FOLDER_FILES)}: give a checkpoint, or the folder of a run'
            )
        return newest
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    return path


def local_checkpoint(source: str | None) -> str | None:
    """Return the file that a checkpoint or the folder of a run stands for; addresses stay.

    Raises:
        FileNotFoundError: There is none.
    """
    return source if not source or '://' in source else str(find_checkpoint(source))
