"""The report as one self-contained page, with the curves of its trainings."""

import base64
import io
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

from mmc2fmae.engine.run_log import read_records
from mmc2fmae.files import write_atomically
from mmc2fmae.html import render
from mmc2fmae.reproduce import report_text as texts
from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.report import Report, stages_of
from mmc2fmae.reproduce.stage import Stage
from mmc2fmae.reproduce.tables import Table


def write_report(report: Report, out: Path) -> list[Path]:
    """Write report.md, .csv, .tex and .html into a folder, each whole or not at all.

    Returns:
        The files.
    """
    content = {
        'report.md': texts.to_markdown(report, out),
        'report.csv': texts.to_csv(report),
        'report.tex': texts.to_latex(report),
        'report.html': to_html(report, out),
    }
    for name, text in content.items():
        write_atomically(text.encode(), out / name)
    return [out / name for name in content]


def to_html(report: Report, out: Path) -> str:
    """Return the page; it loads nothing from elsewhere."""
    tables = [
        dict(
            id=table.id,
            title=table.title,
            caption=table.caption,
            heads=texts.heads(report, table),
            rows=_rows(report, table),
            notes=texts.below(report, table),
            differences=texts.differences(report, table),
            picture=_curves(report, table),
        )
        for table in report.plan.tables
    ]
    heads, lines = texts.stage_table(report)
    return render(
        'reproduction.html',
        title=f'Reproduction, preset {report.plan.preset.name}',
        legend=' '.join(texts.legend(report)),
        warnings=report.warnings,
        tables=tables,
        marks=report.marks,
        stage_heads=heads,
        stages=[(texts.link(report, name, out), name, cells) for name, *cells in lines],
        versions=texts.versions(report),
    )


def _rows(report: Report, table: Table) -> list[list[tuple[str, str]]]:
    """Return the cells of a table, each with its class: whose number, whether the best."""
    lines = report.lines[table.id]
    first = 1 + len(texts.attributes(report, table))
    top = {}
    for number, metric in enumerate(table.metrics):
        cells = [line.cells[metric.key] for line in lines]
        top[first + 2 * number] = texts.best([cell.published for cell in cells], metric)
        most = max((len(cell.values) for cell in cells), default=0)  # with fewer none is judged
        whole = [cell.value for cell in cells if len(cell.values) == most]
        top[first + 2 * number + 1] = texts.best(whole, metric)
    rows = []
    for line in lines:
        row = []
        for column, text in enumerate(texts.printed(report, table, line)):
            kind = ''
            if column in top:
                metric = table.metrics[(column - first) // 2]
                cell, ours = line.cells[metric.key], (column - first) % 2
                value = cell.value if ours else cell.published
                kind = 'number ours' if ours else 'number'
                if ours and value is None:
                    kind += ' missing'
                elif value is not None and value == top[column]:
                    kind += ' best'
            row.append((kind, text))
        rows.append(row)
    return rows


Points = list[tuple[float, float]]


def _curves(report: Report, table: Table) -> str:
    """Draw losses and validations of a table's rows (first seed) as an SVG in a data address."""
    metric = table.metrics[0]
    panels: list[tuple[str, list[tuple[str, Points]]]] = [
        ('pre-training loss (each its own)', []),
        ('fine-tuning loss', []),
    ]
    panels.append((f'{metric.name_in(report.plan.preset.name)} on validation', []))
    for line in report.lines[table.id]:
        stages = stages_of(report, table, line.row, metric.key).values()
        stage = next(iter(stages), None)
        if stage is None or stage.protocol is None or stage.key not in report.results:
            continue
        if stage.kind == 'robustness':
            continue
        if stage.upstream is not None and stage.upstream.key in report.results:
            panels[0][1].append((line.row.name, _points(report, stage.upstream, 'loss')))
        panels[1][1].append((line.row.name, _points(report, stage, 'loss')))
        key = stage.protocol.metrics[metric.key]
        panels[2][1].append((line.row.name, _points(report, stage, key)))
    # A single point is no curve.
    panels = [(title, [c for c in curves if len(c[1]) > 1]) for title, curves in panels]
    panels = [(title, curves) for title, curves in panels if curves]
    if not panels:
        return ''
    with plt.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': table.id, 'font.size': 8}):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(4.2 * len(panels), 2.9), squeeze=False, layout='constrained'
        )
        for axis, (title, curves) in zip(axes[0], panels, strict=True):
            for number, (name, points) in enumerate(curves):
                style = '-' if number < 10 else '--'
                axis.plot(*zip(*points, strict=True), style, marker='.', ms=3, lw=1, label=name)
            axis.set(title=title, xlabel='share of the training')
            axis.grid(alpha=0.3)
            axis.legend(fontsize=6)
        text = io.StringIO()
        figure.savefig(text, format='svg', metadata={'Date': None})
        plt.close(figure)
    return f'data:image/svg+xml;base64,{base64.b64encode(text.getvalue().encode()).decode()}'


def _points(report: Report, stage: Stage, key: str) -> Points:
    """Return (share of the training, value) of what a training logged."""
    folder = results.stage_folder(report.work_dir, stage)
    steps = {}
    for record in read_records(folder):
        if key in record:
            steps[record['step']] = record[key] * (100 if key.startswith('coco/') else 1)
    last = max(steps, default=1)
    return [(step / last, steps[step]) for step in sorted(steps)]
