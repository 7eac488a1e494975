"""The report as one self-contained page, with the curves of its trainings."""

import base64
import io
from html import escape
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

from mmc2fmae.engine.run_log import read_records
from mmc2fmae.files import write_atomically
from mmc2fmae.reproduce import report as texts
from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.plan import Stage
from mmc2fmae.reproduce.report import Report
from mmc2fmae.reproduce.tables import Table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 75rem;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #444; font-weight: 600; }
td.number { text-align: right; white-space: nowrap; }
td.ours { background: #eef4fb; } td.best { font-weight: 700; }
td.missing { color: #8a5a00; white-space: normal; font-style: italic; }
.note { background: #fff6dd; border-left: 4px solid #e0a800; padding: .4rem .8rem; }
.small { font-size: 13px; color: #444; } img { max-width: 100%; }
code { font-size: 90%; }
"""


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
    title = f'Reproduction, preset {report.plan.preset.name}'
    parts = [f'<h1>{escape(title)}</h1>', f'<p>{escape(" ".join(texts.legend(report)))}</p>']
    parts += [f'<p class="note">{escape(warning)}</p>' for warning in report.warnings]
    for table in report.plan.tables:
        parts += [f'<h2 id="{escape(table.id)}">{escape(table.title)}</h2>']
        parts += [f'<p>{escape(table.caption)}</p>', _table(report, table)]
        parts += [f'<p class="small">{escape(text)}</p>' for text in texts.below(report, table)]
        picture = _curves(report, table)
        if picture:
            parts.append(f'<img alt="curves of {escape(table.title)}" src="{picture}">')
    if report.marks:
        items = ''.join(f'<li>{escape(mark)}</li>' for mark in report.marks)
        parts.append(f'<h2>Modified recipes</h2><ol class="small">{items}</ol>')
    head, lines = texts.stage_table(report)
    if lines:
        parts.append('<h2>Stages</h2>')
        parts.append(_stages(report, out, head, lines))
        parts += [f'<p class="small">{escape(text)}</p>' for text in texts.versions(report)]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{STYLE}</style></head>\n'
        f'<body>\n{"".join(part + chr(10) for part in parts)}</body></html>\n'
    )


def _table(report: Report, table: Table) -> str:
    lines = report.lines[table.id]
    first = 1 + len(texts.attributes(report, table))
    top = {}
    for number, metric in enumerate(table.metrics):
        cells = [line.cells[metric.key] for line in lines]
        top[first + 2 * number] = texts.best([cell.published for cell in cells], metric)
        top[first + 2 * number + 1] = texts.best([cell.value for cell in cells], metric)
    rows = [''.join(f'<th>{escape(head)}</th>' for head in texts.heads(report, table))]
    for line in lines:
        cells = []
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
            cells.append(f'<td class="{kind}">{escape(text)}</td>')
        rows.append(''.join(cells))
    body = ''.join(f'<tr>{row}</tr>\n' for row in rows)
    return f'<div class="wide"><table>\n{body}</table></div>'


def _stages(report: Report, out: Path, head: list[str], lines: list[list[str]]) -> str:
    rows = [''.join(f'<th>{escape(cell)}</th>' for cell in head)]
    for line in lines:
        log = texts.link(report, line[0], out)
        name = f'<code>{escape(line[0])}</code>'
        name = f'<a href="{escape(log)}">{name}</a>' if log else name
        rows.append(f'<td>{name}</td>' + ''.join(f'<td>{escape(cell)}</td>' for cell in line[1:]))
    body = ''.join(f'<tr>{row}</tr>\n' for row in rows)
    return f'<div class="wide"><table class="small">\n{body}</table></div>'


def _curves(report: Report, table: Table) -> str:
    """Draw losses and validations of a table's rows (first seed) as an SVG in a data address."""
    metric = table.metrics[0]
    panels: list[tuple[str, list]] = [
        ('pre-training loss (each its own)', []),
        ('fine-tuning loss', []),
    ]
    panels.append((f'{metric.name_in(report.plan.preset.name)} on validation', []))
    for line in report.lines[table.id]:
        keys = [
            k for (t, r, _), k in report.plan.cells.items() if (t, r) == (table.id, line.row.id)
        ]
        stage = report.plan.stages[keys[0]] if keys else None
        if stage is None or stage.kind == 'robustness' or stage.key not in report.results:
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


def _points(report: Report, stage: Stage, key: str) -> list[tuple[float, float]]:
    """Return (share of the training, value) of what a training logged."""
    folder = results.stage_folder(report.work_dir, stage)
    steps = {}
    for record in read_records(folder):
        if key in record:
            steps[record['step']] = record[key] * (100 if key.startswith('coco/') else 1)
    last = max(steps, default=1)
    return [(step / last, steps[step]) for step in sorted(steps)]
