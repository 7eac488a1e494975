"""Ours beside the paper's, from whatever is finished: the numbers, and Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.differences import difference_table
from mmc2fmae.reproduce.lock import is_running
from mmc2fmae.reproduce.plan import Plan, PlanError, Stage
from mmc2fmae.reproduce.tables import Metric, Row, Table

COLUMNS = (
    'preset', 'table', 'row', 'metric', 'seed', 'value', 'standard_error', 'published', 'protocol',
    'mark', 'stage', 'checkpoint_sha256', 'start_sha256', 'commit', 'dirty', 'seconds',
    'pretrain_seconds', 'memory_host_mib', 'memory_gpu_mib', 'hardware', 'versions',
)  # fmt: skip


class MixedProtocols(PlanError):
    """Results of two versions of a protocol would stand in one column."""


@dataclass(frozen=True)
class Cell:
    """One number of ours beside the paper's.

    Attributes:
        published: The paper's number; None where it has none.
        values: Our numbers, one a seed.
        standard_error: Of the evaluation of the only seed; None with several, or where unknown.
        missing: Why there is no number, or which seeds are missing; empty where all are there.
    """

    published: float | None
    values: tuple[float, ...] = ()
    standard_error: float | None = None
    missing: str = ''

    @property
    def value(self) -> float | None:
        """Mean over the seeds."""
        return mean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Deviation over the seeds, or the standard error of the only one."""
        return stdev(self.values) if len(self.values) > 1 else self.standard_error


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
    """

    plan: Plan
    work_dir: Path
    lines: dict[str, list[Line]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)


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
        numbers = [result['metrics'][metric.key] for result in found.values()]
        cells[metric.key] = Cell(
            row.published.get(metric.key),
            tuple(number['value'] for number in numbers),
            numbers[0].get('standard_error') if len(numbers) == 1 else None,
            why,
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
        text = str(result['commit'])[:12] + (' with changes' if result['dirty'] else '')
        commits.setdefault(text, []).append(key)
    if len(commits) > 1:
        texts = [f'{commit} ({len(keys)} stages)' for commit, keys in commits.items()]
        yield f'results come from different commits: {", ".join(texts)}'
    elif any(result['dirty'] for result in report.results.values()):
        yield 'the checkout had changes that are not committed'
    machines = {_hardware(result): None for result in report.results.values()}
    if len(machines) > 1:
        yield f'results come from different machines: {"; ".join(machines)}'
    if smoke:
        yield f'{len(smoke)} stages are smoke runs (--limit) and are not counted'
    for key, result in report.results.items():
        stage = report.plan.stages[key]
        if stage.upstream is None:
            continue
        before = report.results.get(stage.upstream.key)
        if before and before['checkpoint'] and before['checkpoint']['sha256'] != result['start']:
            yield f'{key} started from an earlier training of {stage.upstream.key}'


def _hardware(result: Mapping[str, Any]) -> str:
    hardware = result['hardware']
    return ', '.join(
        hardware.get('gpus') or [f'{hardware.get("cpu")}, {hardware.get("cores")} cores']
    )


def gain(
    report: Report, table: Table, line: Line, metric: str
) -> tuple[float | None, float | None]:
    """Return what the brackets of a cell hold, for the paper and for ours.

    Where numbers compare that is nothing, and ours minus the paper's. In a miniature it is the
    difference from the table's reference row, on both sides.
    """
    cell = line.cells[metric]
    if report.plan.preset.comparable:
        return None, _minus(cell.value, cell.published)
    reference = next((o for o in report.lines[table.id] if o.row.id == table.reference), None)
    if reference is None or reference is line:
        return None, None
    other = reference.cells[metric]
    return _minus(cell.published, other.published), _minus(cell.value, other.value)


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def attributes(report: Report, table: Table) -> list[str]:
    """Return the attributes of a table that hold in the preset."""
    return [name for name in table.attributes if name not in report.plan.preset.hides]


def heads(report: Report, table: Table) -> list[str]:
    """Return the heads of a printed table."""
    ours = 'ours' if report.plan.preset.comparable else report.plan.preset.name
    columns = []
    for metric in table.metrics:
        columns += [f'{metric.name}, paper', f'{metric.name_in(report.plan.preset.name)}, {ours}']
    return ['', *attributes(report, table), *columns, 'seeds', 'recipe']


def printed(report: Report, table: Table, line: Line) -> list[str]:
    """Return the cells of a printed row, plain text."""
    shown = attributes(report, table)
    pairs = zip(table.attributes, line.row.attributes, strict=True)
    cells = [line.row.name, *(value for name, value in pairs if name in shown)]
    for metric in table.metrics:
        cell = line.cells[metric.key]
        paper, ours = gain(report, table, line, metric.key)
        cells.append('' if cell.published is None else f'{cell.published:.1f}{_signed(paper)}')
        text = cell.missing
        if cell.value is not None:
            spread = '' if cell.spread is None else f' ± {cell.spread:.1f}'
            more = f'; {cell.missing}' if cell.missing else ''
            text = f'{cell.value:.1f}{spread}{_signed(ours)}{more}'
        cells.append(text)
    recipe = f'modified [{line.mark}]' if line.mark else report.plan.preset.name
    return [*cells, str(line.seeds or ''), f'{line.protocol}, {recipe}' if line.seeds else '']


def _signed(value: float | None) -> str:
    return '' if value is None else f' ({value:+.1f})'


def legend(report: Report) -> list[str]:
    """Return what a reader needs to read the tables."""
    preset = report.plan.preset
    if preset.comparable:
        brackets = "In brackets: ours minus the paper's."
    else:
        brackets = (
            'Data and models are not those of the paper, so numbers do not compare: in brackets, '
            'on both sides, is the difference from the reference row of the table.'
        )
    spread = (
        'After ±: deviation over the seeds; with one seed the binomial standard error of the '
        'evaluation, where it has one.'
    )
    return [f'{preset.about}.', brackets, spread]


def best(values: Sequence[float | None], metric: Metric) -> float | None:
    """Return the best of a column; None where there is nothing to choose from."""
    found = [value for value in values if value is not None]
    return (max if metric.higher_is_better else min)(found) if len(found) > 1 else None


def to_markdown(report: Report, out: Path) -> str:
    """Return the report in Markdown; logs are linked where ``out`` lies in the work dir."""
    parts = [f'# Reproduction, preset {report.plan.preset.name}', ' '.join(legend(report))]
    parts += [f'**Note:** {_plain(warning)}' for warning in report.warnings]
    for table in report.plan.tables:
        lines = report.lines[table.id]
        parts += [f'## {table.title}', table.caption]
        grid = [heads(report, table), *(printed(report, table, line) for line in lines)]
        parts.append(_grid([[_plain(cell) for cell in line] for line in grid]))
        parts += [_plain(text) for text in below(report, table)]
        compared, about = differences(report, table)
        if compared:
            parts += [_grid([[_plain(cell) for cell in line] for line in compared]), about]
    if report.marks:
        parts.append('## Modified recipes')
        parts.append('\n'.join(f'- [{n}] {_plain(m)}' for n, m in enumerate(report.marks, 1)))
    head, stages = stage_table(report)
    if stages:
        parts.append('## Stages')
        for cells in stages:
            cells[0] = f'[{cells[0]}]({log})' if (log := link(report, cells[0], out)) else cells[0]
        parts.append(_grid([head, *([_plain(cell) for cell in cells] for cells in stages)]))
        parts += [f'- {_plain(text)}' for text in versions(report)]
    return '\n\n'.join(parts) + '\n'


def below(report: Report, table: Table) -> list[str]:
    """Return the notes below a table."""
    found = []
    if not report.plan.preset.comparable:
        found.append(f'Reference row: {table.row(table.reference).name}.')
    if report.left_out[table.id]:
        found.append(f"Rows of the paper's table that are left out: {report.left_out[table.id]}.")
    for line in report.lines[table.id]:
        if line.row.note and line.seeds:
            found.append(f'{line.row.name}: {line.row.note}.')
    return found


def differences(report: Report, table: Table) -> tuple[list[list[str]], str]:
    """Return the differences between rows over equal seeds; see :func:`difference_table`."""
    lines = report.lines[table.id]
    names = [line.row.name for line in lines]
    found: dict[str, dict[str, dict[int, float]]] = {}
    for metric in table.metrics:
        values = found.setdefault(metric.name_in(report.plan.preset.name), {})
        known: list[dict[int, Stage]] = []
        for line in lines:
            stages = stages_of(report, table, line.row, metric.key)
            if not stages or stages in known:  # rows of one and the same run do not differ
                continue
            known.append(stages)
            name = line.row.name
            values[name if names.count(name) == 1 else f'{name} ({line.row.id})'] = {
                seed: report.results[stage.key]['metrics'][metric.key]['value']
                for seed, stage in stages.items()
                if stage.key in report.results
            }
    return difference_table(found)


def stage_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return heads and lines of the stages that are done."""
    head = ['stage', 'serves', 'seed', 'wall time', 'memory', 'commit', 'checkpoint', 'hardware']
    lines = []
    for key, result in report.results.items():
        memory = result['memory_mib']
        size = memory['gpu'] or memory['host']
        dirty = ', changed' if result['dirty'] else ''
        lines.append(
            [
                key,
                ', '.join(report.plan.serves(key)),
                '' if result['seed'] is None else str(result['seed']),
                f'{result["seconds"]:.0f} s',
                f'{size:.0f} MiB {"GPU" if memory["gpu"] else "host"}' if size else '',
                str(result['commit'])[:8] + dirty,
                result['checkpoint']['sha256'][:12] if result['checkpoint'] else '',
                _hardware(result),
            ]
        )
    return head, lines


def versions(report: Report) -> list[str]:
    """Return the software of the results, each set of versions once, and the time of all."""
    texts: dict[str, None] = {}
    for result in report.results.values():
        if result['versions']:
            text = ', '.join(f'{name} {version}' for name, version in result['versions'].items())
            texts[f'Python {result["python"]}, {text}'] = None
    seconds = sum(result['seconds'] for result in report.results.values())
    return [*texts, f'wall time of all stages: {seconds / 3600:.1f} h']


def link(report: Report, key: str, out: Path) -> str:
    """Return the relative path of a stage's log, '' where a reader of ``out`` would not have it."""
    log = results.stage_folder(report.work_dir, report.plan.stages[key]) / 'log.txt'
    if not log.is_file() or not out.resolve().is_relative_to(report.work_dir.resolve()):
        return ''
    up = len(out.resolve().relative_to(report.work_dir.resolve()).parts)
    return '/'.join(['..'] * up + list(log.relative_to(report.work_dir).parts))


def to_csv(report: Report) -> str:
    """Return one line a number: cell and seed, with all that it comes from."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval='', lineterminator='\n')
    writer.writeheader()
    for (name, row, seed), keys in report.plan.cells.items():
        table = next(t for t in report.plan.tables if t.id == name)
        for key in keys:
            stage, result = report.plan.stages[key], report.results.get(key)
            if result is None:
                continue
            common = dict(preset=report.plan.preset.name, table=name, row=row, seed=seed)
            common |= _origin(report, stage, result)
            for metric in table.metrics:
                if measures(stage, metric.key):
                    published = table.row(row).published.get(metric.key)
                    number = result['metrics'][metric.key]
                    writer.writerow(common | dict(metric=metric.key, published=published) | number)
    return text.getvalue()


def _origin(report: Report, stage: Stage, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a number comes from, as columns."""
    return dict(
        protocol=result['protocol'],
        mark=result['mark'],
        stage=stage.key,
        checkpoint_sha256=(result['checkpoint'] or {}).get('sha256', ''),
        start_sha256=result['start'],
        commit=result['commit'],
        dirty=result['dirty'],
        seconds=result['seconds'],
        pretrain_seconds=_upstream_seconds(report, stage),
        memory_host_mib=result['memory_mib']['host'],
        memory_gpu_mib=result['memory_mib']['gpu'],
        hardware=_hardware(result),
        versions=' '.join(f'{name}={version}' for name, version in result['versions'].items()),
    )


def _upstream_seconds(report: Report, stage: Stage) -> float | None:
    found = report.results.get(stage.upstream.key) if stage.upstream else None
    return found['seconds'] if found else None


def to_latex(report: Report) -> str:
    """Return the tables in LaTeX; they need the package booktabs."""
    parts = []
    for table in report.plan.tables:
        head = heads(report, table)
        caption = f'{table.title}: {table.caption} {" ".join(legend(report))}'
        align = 'l' * (1 + len(attributes(report, table))) + 'rr' * len(table.metrics) + 'cl'
        lines = [
            '\\begin{table}',
            f'\\caption{{{_tex(caption)}}}',
            f'\\begin{{tabular}}{{{align}}}',
            '\\toprule',
            ' & '.join(map(_tex, head)) + ' \\\\',
            '\\midrule',
        ]
        for line in report.lines[table.id]:
            lines.append(' & '.join(map(_tex, printed(report, table, line))) + ' \\\\')
        lines += ['\\bottomrule', '\\end{tabular}', '\\end{table}']
        parts.append('\n'.join(lines))
    return '\n\n'.join(parts) + '\n'


_TEX = {
    '\\': r'\textbackslash{}', '&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#', '_': r'\_',
    '{': r'\{', '}': r'\}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '±': r'$\pm$',
    '→': r'$\to$', '†': r'\textdagger{}', '—': '---', '<': r'\textless{}', '>': r'\textgreater{}',
}  # fmt: skip


def _tex(text: str) -> str:
    return ''.join(_TEX.get(letter, letter) for letter in text)


def _plain(text: str) -> str:
    """Return text that Markdown does not read as its own signs."""
    for sign in '|*<':
        text = text.replace(sign, f'\\{sign}')
    return text.replace('\n', ' ')


def _grid(lines: Sequence[Sequence[str]]) -> str:
    rows = [f'| {" | ".join(line)} |' for line in lines]
    rows.insert(1, '|' + ' --- |' * len(lines[0]))
    return '\n'.join(rows)
