"""What a stage left in its folder: result, checkpoint and log, and how it stands by them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmc2fmae.checkpoints.finding import latest_checkpoint, progress_of
from mmc2fmae.configs import training_length
from mmc2fmae.files import file_sha256, write_atomically
from mmc2fmae.reproduce.stage import PlanError, Stage
from mmc2fmae.reproduce.state import SHAPES
from mmc2fmae.state_files import read_state, set_aside

BROUGHT = 'brought'  # folder of the work dir for checkpoints of other methods
LAST_LINES = 15


def stage_folder(work_dir: Path, stage: Stage) -> Path:
    """Return the folder of a stage."""
    return work_dir / 'stages' / stage.key


def find_brought(work_dir: Path, stage: Stage) -> Path | None:
    """Return the file or folder that the user put there for a 'bring' stage, None without one."""
    found = sorted((work_dir / BROUGHT).glob(f'{stage.name}*'))
    found = [path for path in found if path.stem == stage.name or path.name == stage.name]
    return found[0] if found else None


Json = dict[str, Any]


def read_json(path: Path) -> Json | None:
    """Read a JSON file; None where there is none, or a damaged one, which is set aside."""
    return read_state(path, SHAPES.get(path.name, {}))


def write_json(data: Mapping[str, Any], path: Path) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomically(json.dumps(data, indent=1).encode(), path)


def read_result(work_dir: Path, stage: Stage) -> Json | None:
    """Return the result of a stage, None where it is not done, or its file is damaged."""
    path = stage_folder(work_dir, stage) / 'result.json'
    found = read_json(path)
    if found is None:
        return None
    left = (found.get('checkpoint') or {}).get('file', '')
    if left.startswith('iter_') and training_length(stage.load_config())[0] == 'epoch':
        set_aside(path, f'{left} was written within an epoch, not at the end of the training')
        return None
    if stage.protocol is None:
        return found
    lacking = [key for key in stage.protocol.metrics if key not in found['metrics']]
    if found['protocol'] is None or (found['protocol'] == stage.protocol.id and lacking):
        set_aside(path, f'protocol {found["protocol"]}, metrics {list(found["metrics"])}')
        return None
    return found


def checkpoint_of(work_dir: Path, stage: Stage) -> Path | None:
    """Return the checkpoint that a stage left, None where it is gone or has another size."""
    if stage.kind == 'bring':
        return find_brought(work_dir, stage)
    result = read_result(work_dir, stage)
    if not result or not result.get('checkpoint'):
        return None
    path = stage_folder(work_dir, stage) / result['checkpoint']['file']
    whole = path.is_file() and path.stat().st_size == result['checkpoint']['bytes']
    return path if whole else None


def whole_checkpoint(work_dir: Path, stage: Stage) -> Path:
    """Return the checkpoint of a stage after comparing its content with what was recorded.

    Raises:
        PlanError: It is gone or damaged.
    """
    path = checkpoint_of(work_dir, stage)
    if path is None:
        raise PlanError(f'the checkpoint of {stage.key} is gone: run again, it is trained anew')
    if stage.trains:
        recorded = start_sha256(work_dir, stage)
        if file_sha256(path) != recorded:
            raise PlanError(
                f'{path} is not what {stage.key} recorded (SHA-256 {recorded}): delete it '
                'and run again, it is trained anew'
            )
    return path


def is_done(work_dir: Path, stage: Stage) -> bool:
    """Tell whether a stage has its result, under the version of the protocol that is asked for."""
    if stage.kind == 'bring':
        return find_brought(work_dir, stage) is not None
    result = read_result(work_dir, stage)
    if stage.kind == 'scenes' and not Path(stage.options['out']).is_dir():
        return False
    wanted = stage.protocol.id if stage.protocol else None
    return result is not None and result['protocol'] == wanted


def state(work_dir: Path, stage: Stage) -> str:
    """Return how a stage stands.

    Returns:
        'done', 'done elsewhere' (adopted: its checkpoint is not here), 'vanished' (its checkpoint),
        'absent' (to bring), 'failed' or 'not run'.
    """
    if is_done(work_dir, stage):
        if not stage.trains or checkpoint_of(work_dir, stage) is not None:
            return 'done'
        return 'done elsewhere' if 'adopted' in (read_result(work_dir, stage) or {}) else 'vanished'
    if stage.kind == 'bring':
        return 'absent'
    last = last_attempt(work_dir, stage)
    return 'failed' if last.get('exit') not in (None, 0, 'interrupted') else 'not run'


def is_trained(stage: Stage, folder: Path) -> bool:
    """Tell whether the last checkpoint of a training is there.

    A training over epochs that was interrupted within one leaves ``iter_N.pth``, too.
    """
    path = latest_checkpoint(folder)
    counted, number = (progress_of(path) if path else None) or ('', 0)
    unit, length = training_length(stage.load_config())
    return counted == unit and number >= length


def last_attempt(work_dir: Path, stage: Stage) -> Json:
    """Return when a stage ran last and how it ended; empty where it never did."""
    attempts = (read_json(stage_folder(work_dir, stage) / 'stage.json') or {}).get('attempts')
    return attempts[-1] if attempts else {}


def is_waiting(work_dir: Path, stage: Stage) -> bool:
    """Tell whether a stage starts from a checkpoint of others that is still to be brought."""
    while stage.upstream is not None:
        stage = stage.upstream
    return stage.kind == 'bring' and find_brought(work_dir, stage) is None


def pending(work_dir: Path, stages: Mapping[str, Stage]) -> list[Stage]:
    """Return the stages that must run, in order.

    A stage with numbers must run unless it has them; a pre-training (or a stage whose checkpoint
    vanished) only where something that must run starts from it; what waits for a checkpoint of
    others does not.

    Args:
        work_dir: Work dir.
        stages: Stages of a plan, each after what it depends on.
    """
    wanted: set[str] = set()
    for key, stage in reversed(list(stages.items())):
        if is_waiting(work_dir, stage):
            missing = False
        elif key in wanted:  # something that must run starts from its checkpoint
            missing = state(work_dir, stage) != 'done'
        else:
            has_result = stage.protocol is not None or stage.kind in ('scenes', 'predictions')
            missing = has_result and not is_done(work_dir, stage)
        wanted.discard(key)
        if missing:
            wanted.add(key)
            if stage.upstream is not None:
                wanted.add(stage.upstream.key)
    return [stage for key, stage in stages.items() if key in wanted]


def start_sha256(work_dir: Path, stage: Stage) -> str | None:
    """Return the SHA-256 of the checkpoint of a stage; None for a folder of several files.

    Raises:
        PlanError: The stage has no checkpoint.
    """
    if stage.kind == 'bring':
        path = find_brought(work_dir, stage)
        return file_sha256(path) if path and path.is_file() else None
    result = read_result(work_dir, stage)
    if not result or not result.get('checkpoint'):
        raise PlanError(f'{stage.key} recorded no checkpoint: run again, it is trained anew')
    return str(result['checkpoint']['sha256'])


def log_tail(folder: Path, lines: int = LAST_LINES) -> list[str]:
    """Return the last lines of a stage's log."""
    try:
        with open(folder / 'log.txt', 'rb') as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - 20_000, 0))
            text = file.read().decode(errors='replace')
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def where_in_log(folder: Path) -> str:
    """Return how far the log says that a training is, such as ``Epoch(train) [3][25/100]``.

    mmengine writes the iteration within an epoch into this text alone: the one place that reads it.
    """
    pattern = re.compile(r'(?:Epoch|Iter)\(\w+\)\s*\[[^\]]*\](?:\s*\[[^\]]*\])?')
    for line in reversed(log_tail(folder, 50)):
        found = pattern.search(line)
        if found:
            return re.sub(r'\s+', ' ', found.group())
    return 'starting'
