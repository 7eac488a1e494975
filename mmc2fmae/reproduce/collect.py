"""The result of a stage whose process ended well: numbers, checkpoint, commit, versions."""

from math import sqrt
from pathlib import Path

from mmc2fmae import env
from mmc2fmae.checkpoints.finding import latest_checkpoint
from mmc2fmae.configs import ROOT, training_length
from mmc2fmae.engine.run_log import read_records
from mmc2fmae.evaluation.robustness_report import own_score
from mmc2fmae.files import file_sha256
from mmc2fmae.reproduce.results import Json, is_trained, read_json, stage_folder, start_sha256
from mmc2fmae.reproduce.stage import PlanError, Stage


def collect(
    stage: Stage,
    work_dir: Path,
    preset: str,
    seconds: float,
    memory_mib: float | None,
    cpu_seconds: float | None,
) -> Json:
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


def describe(stage: Stage) -> Json:
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
