"""What a stage leaves: its description, and one result file when it is done."""

import json
import re
from collections.abc import Iterator, Mapping
from math import sqrt
from pathlib import Path
from typing import Any

from mmc2fmae import env
from mmc2fmae.checkpoints.finding import latest_checkpoint, progress_of
from mmc2fmae.configs import ROOT, training_length
from mmc2fmae.engine.run_log import read_records
from mmc2fmae.evaluation.robustness_report import own_score
from mmc2fmae.files import file_sha256, write_atomically
from mmc2fmae.reproduce.plan import PlanError, Stage
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
    """Return 'done', 'vanished' (its checkpoint), 'absent' (to bring), 'failed' or 'not run'."""
    if is_done(work_dir, stage):
        gone = stage.trains and checkpoint_of(work_dir, stage) is None
        return 'vanished' if gone else 'done'
    if stage.kind == 'bring':
        return 'absent'
    last = last_attempt(work_dir, stage)
    return 'failed' if last.get('exit') not in (None, 0, 'interrupted') else 'not run'


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


def describe(stage: Stage) -> dict[str, Any]:
    """Return what a stage is, as JSON."""
    return dict(
        kind=stage.kind,
        name=stage.name,
        identity=stage.identity,
        config=_short(stage.config),
        overrides=dict(stage.overrides),
        seed=stage.seed,
        upstream=stage.upstream.key if stage.upstream else None,
        protocol=stage.protocol.id if stage.protocol else None,
        modified=list(stage.modified),
        options=dict(stage.options),
        limit=stage.limit,
    )


def _short(path: Path | None) -> str | None:
    if path is None:
        return None
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def collect(
    stage: Stage,
    work_dir: Path,
    preset: str,
    seconds: float,
    memory_mib: float | None,
    cpu_seconds: float | None,
) -> dict[str, Any]:
    """Put together the result of a stage whose process ended well.

    Args:
        stage: The stage.
        work_dir: Work dir.
        preset: Preset; also the mark of a result that follows its recipe.
        seconds: Wall time of all attempts.
        memory_mib: Peak memory of the process on the host.
        cpu_seconds: Processor time of the last attempt, all cores together.

    Returns:
        What ``result.json`` holds.

    Raises:
        PlanError: The process left no checkpoint or lacks a metric.
    """
    folder = stage_folder(work_dir, stage)
    environment = _environment(folder)
    gpu = max((r['memory'] for r in read_records(folder) if 'memory' in r), default=None)
    has_gpu = bool(environment.get('hardware', {}).get('gpus'))
    result = describe(stage) | dict(
        preset=preset,
        mark=f'modified: {"; ".join(stage.modified)}' if stage.modified else preset,
        metrics=_metrics(stage, folder),
        seconds=round(seconds, 1),
        cpu_seconds=cpu_seconds and round(cpu_seconds, 1),
        memory_mib=dict(host=memory_mib and round(memory_mib), gpu=gpu if has_gpu else None),
        **_commits(folder, environment),
        versions=environment.get('versions', {}),
        python=environment.get('python'),
        hardware=environment.get('hardware', {}),
        checkpoint=None,
        start=None,
    )
    if stage.trains:
        path = latest_checkpoint(folder)
        if path is None or not is_trained(stage, folder):
            raise PlanError(
                f'{folder} holds no whole checkpoint of the end of its training: look at its '
                'log.txt, run again to go on'
            )
        size = path.stat().st_size
        result['checkpoint'] = dict(file=path.name, bytes=size, sha256=file_sha256(path))
    if stage.upstream is not None:
        result['start'] = start_sha256(work_dir, stage.upstream)
    return result


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


def _environment(folder: Path) -> Json:
    for record in sorted(folder.glob('*/environment.json'))[-1:]:
        return read_json(record) or {}
    report = read_json(folder / 'robustness.json') or read_json(folder / 'robustness_smoke.json')
    return (report or {}).get('environment') or env.collect()  # drawing scenes records none


def _commits(folder: Path, environment: Json) -> Json:
    """Return ``commit`` and ``dirty`` of all parts of a training, ``aaa then bbb``."""
    parts = [read_json(path) or {} for path in sorted(folder.glob('*/environment.json'))]
    parts = parts or [environment]
    commits = dict.fromkeys(part['commit'] for part in parts if part.get('commit'))
    known = [part['dirty'] for part in parts if part.get('dirty') is not None]
    return dict(commit=' then '.join(commits) or None, dirty=any(known) if known else None)


def short_commit(commit: str | None, letters: int) -> str:
    """Shorten the commits of a result."""
    return ' then '.join(part[:letters] for part in str(commit).split(' then '))


def _metrics(stage: Stage, folder: Path) -> dict[str, Json]:
    if stage.protocol is None:
        return {}
    keys = stage.protocol.metrics
    if stage.protocol.task == 'robustness':
        name = 'robustness_smoke.json' if stage.limit else 'robustness.json'
        report = read_json(folder / name) or {}
        return {metric: _of_set(report, key, folder / name) for metric, key in keys.items()}
    last = final_metrics(stage, folder)
    lacking = [key for key in keys.values() if key not in last]
    if lacking:
        raise PlanError(f'{folder} logged no {", ".join(lacking)}: look at its log.txt')
    return {metric: _number(key, last[key], stage) for metric, key in keys.items()}


def is_trained(stage: Stage, folder: Path) -> bool:
    """Tell whether the last checkpoint of a training is there.

    A training over epochs that was interrupted within one leaves ``iter_N.pth``, too.
    """
    path = latest_checkpoint(folder)
    counted, number = (progress_of(path) if path else None) or ('', 0)
    unit, length = training_length(stage.load_config())
    return counted == unit and number >= length


def final_metrics(stage: Stage, folder: Path) -> dict[str, float]:
    """Return what was logged of the trained model: by its last validation, or else by a test."""
    _, length = training_length(stage.load_config())
    found: Json = {}
    for path in sorted(folder.glob('*/*.json')):
        if path.stem == path.parent.name:  # of tools/test.py
            found |= read_json(path) or {}
    for record in read_records(folder):
        if record.get('step') == length:
            found |= record
    wanted = stage.protocol.metrics.values() if stage.protocol else ()
    return {key: found[key] for key in wanted if isinstance(found.get(key), int | float)}


def _number(key: str, value: float, stage: Stage) -> dict[str, float]:
    """Return a metric in % with its standard error: binomial for accuracy, otherwise unknown."""
    value = value * 100 if key.startswith('coco/') else value
    if not key.startswith('accuracy/'):
        return dict(value=value)
    error = sqrt(value * (100 - value) / stage.images)
    return dict(value=value, standard_error=error)


def _of_set(report: Json, name: str, path: Path) -> dict[str, float]:
    if name == 'score':
        score = report.get('score') or {}
        if 'value' not in score:
            raise PlanError(f'{path} has no score: evaluate all of its sets')
        return dict(value=score['value'])
    summary = report.get('sets', {}).get(name)
    if summary is None:
        raise PlanError(f'{path} has no set {name}')
    if 'top1' in summary:
        _, found = own_score(summary)
        return dict(value=found['value'], standard_error=found['standard_error'])
    return dict(value=summary.get('mCE', summary['mean_error']))


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


def stage_logs(work_dir: Path, stages: Mapping[str, Stage]) -> Iterator[tuple[str, Path]]:
    """Yield key and log of every stage that ran."""
    for key, stage in stages.items():
        path = stage_folder(work_dir, stage) / 'log.txt'
        if path.is_file():
            yield key, path
