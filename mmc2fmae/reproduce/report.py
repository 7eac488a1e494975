"""Ours beside the paper's, from whatever is finished: the numbers (report_text.py writes them)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.lock import is_running
from mmc2fmae.reproduce.plan import Plan
from mmc2fmae.reproduce.stage import PlanError, Stage
from mmc2fmae.reproduce.tables import Row, Table


class MixedProtocols(PlanError):
    """Results of two versions of a protocol would stand in one column."""


@dataclass(frozen=True)
class Cell:
    """One number of ours beside the paper's.

    Attributes:
        published: The paper's number; None where it has none.
        values: Seed to our number.
        standard_error: Of the evaluation of the only seed; None with several, or where unknown.
        missing: Why there is no number, or which seeds are missing; empty where all are there.
    """

    published: float | None
    values: Mapping[int, float] = field(default_factory=dict)
    standard_error: float | None = None
    missing: str = ''

    @property
    def value(self) -> float | None:
        """Mean over the seeds."""
        return mean(self.values.values()) if self.values else None

    @property
    def spread(self) -> float | None:
        """Deviation over the seeds, or the standard error of the only one."""
        return stdev(self.values.values()) if len(self.values) > 1 else self.standard_error


@dataclass(frozen=True)
class Line:
    """A row of a report.

    Attributes:
        row: Row of the table.
        cells: Metric to cell.
        seeds: Number of seeds that are there, of the metric with most of them.
        protocol: Protocols of the numbers.
        mark: Number of the footnote that says how the recipe differs; 0 for none.
    """

    row: Row
    cells: Mapping[str, Cell]
    seeds: int
    protocol: str
    mark: int


@dataclass
class Report:
    """All tables of a plan, filled with what is there.

    Attributes:
        plan: The plan.
        work_dir: Where the results lie.
        lines: Table id to its rows.
        left_out: Table id to the number of rows that the preset does not run.
        marks: Ways in which recipes differ, numbered from 1.
        warnings: What a reader must know first.
        results: Key of a stage to its result.
        health: Key of a pre-training to the ranks of its features, once they were asked for.
    """

    plan: Plan
    work_dir: Path
    lines: dict[str, list[Line]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    health: dict[str, dict[str, float]] = field(default_factory=dict)


def make_report(plan: Plan, work_dir: Path) -> Report:
    """Read the results of a plan.

    Args:
        plan: The plan; smoke runs are never counted.
        work_dir: Work dir.

    Raises:
        MixedProtocols: A column would mix versions of a protocol.
        PlanError: A file of the work dir is damaged.
    """
    report = Report(plan, work_dir)
    smoke = []
    for key, stage in plan.stages.items():
        found = results.read_result(work_dir, stage)
        if found is not None and found['limit']:
            smoke.append(key)
        elif found is not None:
            report.results[key] = found
    running = is_running(work_dir)
    for table in plan.tables:
        lines = [_line(report, table, row, running) for row in plan.rows[table.id]]
        own = lines
        if not plan.preset.comparable:  # a miniature has some of the rows
            own = [line for line in lines if _base(plan) in line.row.sources]
        report.lines[table.id] = own
        report.left_out[table.id] = len(lines) - len(own)
        _refuse_mixture(report, table)
    report.warnings = list(_warnings(report, smoke))
    return report


def _base(plan: Plan) -> str:
    return plan.preset.name.partition('-')[0]


def stages_of(report: Report, table: Table, row: Row, metric: str) -> dict[int, Stage]:
    """Return seed to the stage that measures a metric of a row."""
    found = {}
    for (name, number, seed), keys in report.plan.cells.items():
        for stage in map(report.plan.stages.__getitem__, keys):
            if (name, number) == (table.id, row.id) and measures(stage, metric):
                found[seed] = stage
    return found


def measures(stage: Stage, metric: str) -> bool:
    """Tell whether a metric of a table comes from a stage."""
    return stage.protocol is not None and metric in stage.protocol.metrics


def _line(report: Report, table: Table, row: Row, running: bool) -> Line:
    cells: dict[str, Cell] = {}
    used: dict[str, dict[str, Any]] = {}
    for metric in table.metrics:
        stages = stages_of(report, table, row, metric.key)
        found = {s: report.results[g.key] for s, g in stages.items() if g.key in report.results}
        used |= {stages[seed].key: result for seed, result in found.items()}
        missing = [seed for seed in stages if seed not in found]
        why = ''
        if not stages:
            why = row.note or 'not part of this preset'
        elif missing:
            why = _why(report.work_dir, stages[missing[0]], running)
            if found:
                why = f'{len(found)} of {len(stages)} seeds; {why}'
        numbers = {seed: result['metrics'][metric.key] for seed, result in found.items()}
        only = next(iter(numbers.values())) if len(numbers) == 1 else {}
        cells[metric.key] = Cell(
            published=row.published.get(metric.key),
            values={seed: number['value'] for seed, number in numbers.items()},
            standard_error=only.get('standard_error'),
            missing=why,
        )
    seeds = max((len(cell.values) for cell in cells.values()), default=0)
    protocols = {result['protocol']: None for result in used.values()}
    marks = {result['mark']: None for result in used.values() if result['modified']}
    for mark in marks:
        if mark not in report.marks:
            report.marks.append(mark)
    number = report.marks.index(next(iter(marks))) + 1 if marks else 0
    return Line(row, cells, seeds, ', '.join(protocols), number)


def _why(work_dir: Path, stage: Stage, running: bool) -> str:
    """Say why a stage has no result: the first of the stages that it needs decides."""
    if stage.upstream is not None and not results.is_done(work_dir, stage.upstream):
        return _why(work_dir, stage.upstream, running)
    if stage.kind == 'bring':
        return f'checkpoint {stage.name} to be brought'
    last = results.last_attempt(work_dir, stage)
    if last and 'exit' not in last and running:
        return 'running'
    if results.state(work_dir, stage) == 'failed':
        tail = results.log_tail(results.stage_folder(work_dir, stage), 1)
        return f'failed: {tail[0].strip()[:100] if tail else "no log"}'
    return 'not run' if not last else 'interrupted'


def _refuse_mixture(report: Report, table: Table) -> None:
    versions: dict[str, dict[str, list[str]]] = {}
    suite = report.plan.suite
    for line in report.lines[table.id]:
        for protocol in filter(None, line.protocol.split(', ')):
            rows = versions.setdefault(protocol.partition('@')[0], {}).setdefault(protocol, [])
            rows.append(line.row.id)
    for found in versions.values():
        if len(found) > 1:
            texts = [f'{protocol} (rows {", ".join(rows)})' for protocol, rows in found.items()]
            known = [suite.protocols[name] for name in found if name in suite.protocols]
            measured = [m for m in table.metrics if any(m.key in p.metrics for p in known)]
            columns = ', '.join(metric.name for metric in measured)
            raise MixedProtocols(
                f'{table.id}: column {columns} would mix {" and ".join(texts)}, which do not '
                'compare: run the table again, only the older results are measured anew'
            )


def _warnings(report: Report, smoke: Sequence[str]) -> Iterator[str]:
    commits: dict[str, list[str]] = {}
    for key, result in report.results.items():
        text = short_commit(result['commit'], 12) + (' with changes' if result['dirty'] else '')
        commits.setdefault(text, []).append(key)
    if len(commits) > 1:
        texts = [f'{commit} ({len(keys)} stages)' for commit, keys in commits.items()]
        yield f'results come from different commits: {", ".join(texts)}'
    elif any(result['dirty'] for result in report.results.values()):
        yield 'the checkout had changes that are not committed'
    machines = {hardware(result): None for result in report.results.values()}
    if len(machines) > 1:
        yield f'results come from different machines: {"; ".join(machines)}'
    adopted: dict[str, int] = {}
    for result in report.results.values():
        if 'adopted' in result:
            adopted[result['adopted']] = adopted.get(result['adopted'], 0) + 1
    for file, count in adopted.items():
        yield f'{count} stages were not run here: their numbers were taken over from {file}'
    if smoke:
        yield f'{len(smoke)} stages are smoke runs (--limit) and are not counted'
    for key, result in report.results.items():
        stage = report.plan.stages[key]
        if stage.upstream is None:
            continue
        before = report.results.get(stage.upstream.key)
        if before and before['checkpoint'] and before['checkpoint']['sha256'] != result['start']:
            yield f'{key} started from an earlier training of {stage.upstream.key}'


def hardware(result: Mapping[str, Any]) -> str:
    """Say in words on what a result was computed."""
    found = result['hardware']
    return ', '.join(found.get('gpus') or [f'{found.get("cpu")}, {found.get("cores")} cores'])


def gain(
    report: Report, table: Table, line: Line, metric: str
) -> tuple[float | None, float | None]:
    """Return what the brackets of a cell hold, for the paper and for ours.

    Where numbers compare that is nothing, and ours minus the paper's. In a miniature it is the
    difference from the table's reference row, on both sides, ours over the seeds that both have.
    """
    cell = line.cells[metric]
    if report.plan.preset.comparable:
        return None, _minus(cell.value, cell.published)
    reference = next((o for o in report.lines[table.id] if o.row.id == table.reference), None)
    if reference is None or reference is line:
        return None, None
    other = reference.cells[metric]
    shared = [value - other.values[s] for s, value in cell.values.items() if s in other.values]
    return _minus(cell.published, other.published), mean(shared) if shared else None


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def short_commit(commit: str | None, letters: int) -> str:
    """Shorten the commits of a result."""
    return ' then '.join(part[:letters] for part in str(commit).split(' then '))
