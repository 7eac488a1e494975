"""Take over numbers that were measured on another machine, from the CSV of a report there."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmc2fmae.errors import first_names
from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.collect import describe
from mmc2fmae.reproduce.lock import WorkDirLock
from mmc2fmae.reproduce.plan import Plan
from mmc2fmae.reproduce.report_text import COLUMNS, PRETRAINED
from mmc2fmae.reproduce.stage import PlanError, Stage
from mmc2fmae.texts import read_text

_LATER = {'python', *PRETRAINED}  # columns that reports of earlier versions lack
_MAY_LACK = ('standard_error', 'memory_host_mib', 'memory_gpu_mib', *PRETRAINED)


@dataclass
class Adoption:
    """What became of the stages of a file.

    Attributes:
        taken: Keys of stages whose numbers were taken over.
        known: Keys of stages that have these numbers already.
        left: Key of a stage that was left out to the reason.
    """

    taken: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        """Say it in a line."""
        parts = [f'{len(self.taken)} stages taken over, {len(self.known)} known already']
        reasons: dict[str, list[str]] = {}
        for key, reason in self.left.items():
            reasons.setdefault(reason, []).append(key)
        parts += [f'left out, {why}: {first_names(keys)}' for why, keys in reasons.items()]
        return '; '.join(parts)


def adopt(plan: Plan, path: Path, work_dir: Path) -> Adoption:
    """Write the results of a report's CSV into a work dir, for the stages of a plan.

    A stage is known by the digest of what determines its result, so numbers are taken for the very
    same recipe, seed and start only. Its checkpoint is not here: what needs it trains it anew.

    Args:
        plan: The plan.
        path: CSV that ``reproduce.py report`` wrote.
        work_dir: Work dir.

    Raises:
        PlanError: The file is no such CSV, is damaged, is of another preset, or holds nothing of
            the plan.
        AlreadyRunning: A runner works in the work dir.
    """
    found = Adoption()
    with WorkDirLock(work_dir):
        for key, lines in _read(path, plan.preset.name).items():
            stage = plan.stages.get(key)
            reason = _why_not(stage, lines)
            if stage is None or reason:
                found.left[key] = reason
                continue
            result = _result(stage, lines, path)
            here = results.read_result(work_dir, stage)
            if here is None or not results.is_done(work_dir, stage):
                file = results.stage_folder(work_dir, stage) / 'result.json'
                file.parent.mkdir(parents=True, exist_ok=True)
                results.write_json(result, file)
                found.taken.append(key)
            elif here['metrics'] == result['metrics']:
                found.known.append(key)
            else:
                found.left[key] = 'measured here too, and otherwise: the numbers here stay'
    if not found.taken and not found.known:
        raise PlanError(f'{path}: nothing of it fits, {found.told()}')
    return found


def _read(path: Path, preset: str) -> dict[str, list[dict[str, str]]]:
    """Return key of a stage to its lines, one a metric."""
    reader = csv.DictReader(io.StringIO(read_text(path)))
    heads = {*(reader.fieldnames or []), *_LATER}
    if lacking := [name for name in COLUMNS if name not in heads]:
        raise PlanError(
            f'{path} lacks the columns {first_names(lacking)}: expected the CSV that reproduce.py '
            'report writes'
        )
    stages: dict[str, dict[str, dict[str, str]]] = {}
    for number, line in enumerate(reader, 2):
        if None in line or None in line.values():
            raise PlanError(f'{path}, line {number}: expected as many cells as its head has')
        if line['preset'] != preset:
            raise PlanError(
                f'{path}, line {number}: results of the preset {line["preset"]}, expected {preset}'
            )
        for name in ('value', 'seconds', *_MAY_LACK):
            text = line.get(name, '')
            if not _is_number(text) and (text or name not in _MAY_LACK):
                raise PlanError(f'{path}, line {number}: {name} is {text!r}, no number')
        before = stages.setdefault(line['stage'], {}).setdefault(line['metric'], line)
        if before['value'] != line['value']:  # two tables show the same stage
            raise PlanError(
                f'{path}, line {number}: {line["metric"]} of {line["stage"]} is {line["value"]}, '
                f'further up it is {before["value"]}'
            )
    return {key: list(lines.values()) for key, lines in stages.items()}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _why_not(stage: Stage | None, lines: Sequence[Mapping[str, str]]) -> str:
    """Say why a stage's numbers cannot be taken over; '' where they can."""
    if stage is None or stage.protocol is None:
        return 'not among these tables, rows and seeds, or their recipe is another one here'
    if lines[0]['protocol'] != stage.protocol.id:
        return f'measured by {lines[0]["protocol"]}, here it is {stage.protocol.id}'
    lacking = set(stage.protocol.metrics) - {line['metric'] for line in lines}
    return f'without {", ".join(sorted(lacking))}' if lacking else ''


def _result(stage: Stage, lines: Sequence[Mapping[str, str]], path: Path) -> results.Json:
    """Return what ``result.json`` holds of a stage that ran elsewhere."""
    line = lines[0]
    metrics = {}
    for other in lines:
        metrics[other['metric']] = dict(value=float(other['value']))
        if other['standard_error']:
            metrics[other['metric']]['standard_error'] = _number(other['standard_error'])
    checkpoint = None
    if line['checkpoint_sha256']:  # no file: it counts as vanished
        checkpoint = dict(file='', bytes=0, sha256=line['checkpoint_sha256'])
    pairs = (text.partition('=') for text in line['versions'].split())
    return describe(stage) | dict(
        mark=line['mark'],
        metrics=metrics,
        seconds=_number(line['seconds']),
        memory_mib={
            part: _number(text) if (text := line[f'memory_{part}_mib']) else None
            for part in ('host', 'gpu')
        },
        commit=line['commit'] or None,
        dirty={'True': True, 'False': False}.get(line['dirty']),
        versions={name: version for name, _, version in pairs},
        python=line.get('python') or None,
        hardware=_hardware(line['hardware']),
        checkpoint=checkpoint,
        start=line['start_sha256'] or None,
        adopted=path.name,
        pretrain={
            name: _number(line[column]) for column, name in PRETRAINED.items() if line.get(column)
        },
    )


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _hardware(text: str) -> results.Json:
    """Take apart what :func:`mmc2fmae.reproduce.report.hardware` put together."""
    processor = re.fullmatch(r'(.*), (\d+) cores', text)
    if processor is None:
        return dict(gpus=text.split(', '))
    return dict(cpu=processor[1], cores=int(processor[2]))
