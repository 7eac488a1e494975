"""A report as Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.differences import difference_table
from mmc2fmae.reproduce.feature_health import RANKS, health_notes, health_of
from mmc2fmae.reproduce.report import (
    Line,
    Report,
    gain,
    hardware,
    measures,
    short_commit,
    stages_of,
)
from mmc2fmae.reproduce.stage import Stage
from mmc2fmae.reproduce.tables import Metric, Table

PRETRAINED = {f'pretrain_{name}': name for name in ('seconds', *RANKS)}
COLUMNS = (
    'preset', 'table', 'row', 'metric', 'seed', 'value', 'standard_error', 'published', 'protocol',
    'mark', 'stage', 'checkpoint_sha256', 'start_sha256', 'commit', 'dirty', 'seconds',
    'memory_host_mib', 'memory_gpu_mib', 'hardware', 'python', 'versions', *PRETRAINED,
)  # fmt: skip


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
            'on both sides, is the difference from the reference row of the table, ours over the '
            'seeds that both have.'
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
            parts += [_grid([[_plain(cell) for cell in line] for line in compared]), _plain(about)]
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
    return found + health_notes(report, table)


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
                short_commit(result['commit'], 8) + dirty,
                result['checkpoint']['sha256'][:12] if result['checkpoint'] else '',
                hardware(result),
            ]
        )
    return head, lines


def versions(report: Report) -> list[str]:
    """Return the software of the results, each set of versions once, and the time of all."""
    texts: dict[str, None] = {}
    for result in report.results.values():
        if result['versions']:
            text = ', '.join(f'{name} {version}' for name, version in result['versions'].items())
            texts[f'Python {result["python"]}, {text}' if result['python'] else text] = None
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
        memory_host_mib=result['memory_mib']['host'],
        memory_gpu_mib=result['memory_mib']['gpu'],
        hardware=hardware(result),
        python=result['python'],
        versions=' '.join(f'{name}={version}' for name, version in result['versions'].items()),
        pretrain_seconds=_upstream_seconds(report, stage),
        **{f'pretrain_{name}': value for name, value in health_of(report, stage).items()},
    )


def _upstream_seconds(report: Report, stage: Stage) -> float | None:
    adopted = report.results[stage.key].get('pretrain', {})
    found = report.results.get(stage.upstream.key) if stage.upstream else None
    return adopted.get('seconds') or (found['seconds'] if found else None)


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
