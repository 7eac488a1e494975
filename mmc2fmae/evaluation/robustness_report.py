"""One table of the robustness sets, as JSON, CSV and Markdown that say what was measured."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from mmc2fmae.evaluation.corruption_error import (
    CORRUPTIONS,
    SEVERITIES,
    corruption_errors,
    mean_corruption_error,
    mean_error,
    relative_errors,
    robustness_score,
)
from mmc2fmae.evaluation.result_store import Counts
from mmc2fmae.evaluation.robustness_sets import RobustnessSet
from mmc2fmae.files import write_atomically

Cell = tuple[str, int] | None
METRICS = {'mCE': 'mCE relative to AlexNet', 'mean_error': 'mean error, not normalised'}
COLUMNS = (
    'set', 'protocol', 'source', 'corruption', 'severity', 'metric', 'value', 'standard_error',
    'images', 'status',
)  # fmt: skip


def percentage(count: int, total: int) -> dict:
    """Return 'value' (``count`` of ``total``) and 'standard_error' (binomial), both in %."""
    share = count / total
    error = sqrt(share * (1 - share) / total)
    return dict(value=100 * share, standard_error=100 * error)


def summarise_set(spec: RobustnessSet, counts: Mapping[Cell, Counts]) -> dict:
    """Turn counts into the numbers of a set.

    Args:
        spec: The set.
        counts: Its counts, one entry a cell.

    Returns:
        For a folder 'top1': label such as '200 classes' to :func:`percentage`; 'scored_over' is the
        label of the score that counts. For corruptions 'cells' (all 75), 'errors' and
        'mean_error' (raw, %) and, relative to AlexNet, 'relative_errors' and 'mCE'. All with
        protocol, source and pipeline.

    Raises:
        ValueError: A cell is missing.
    """
    scored = f'{len(spec.subset or spec.classes)} classes'
    summary: dict[str, Any] = dict(
        protocol=spec.protocol,
        source=spec.source,
        folder=spec.folder.name,
        scored_over=scored,
        pipeline=spec.pipeline,
    )
    if spec.kind == 'folder':
        found = counts[None]
        correct = {scored: found.correct, f'{len(spec.classes)} classes': found.correct_all}
        top1 = {k: percentage(n, found.total) | dict(correct=n) for k, n in correct.items()}
        return summary | dict(images=found.total, top1=top1)
    cells = {cell: c for cell, c in counts.items() if cell is not None}
    wrong = {cell: c.total - c.correct for cell, c in cells.items()}
    shares = {cell: percentage(wrong[cell], c.total) for cell, c in cells.items()}
    errors = corruption_errors({cell: share['value'] for cell, share in shares.items()})
    summary |= dict(
        images=sum(c.total for c in cells.values()),
        cells=[
            dict(corruption=cell[0], severity=cell[1], wrong=wrong[cell], total=c.total)
            | shares[cell]
            for cell, c in cells.items()
        ],
        errors=errors,
        mean_error=mean_error(errors),
    )
    if spec.alexnet:
        summary |= dict(relative_errors=relative_errors(errors), mCE=mean_corruption_error(errors))
    return summary


def own_score(summary: Mapping) -> tuple[str, dict]:
    """Return the score of a folder that counts: over what, and :func:`percentage`.

    Args:
        summary: Of a folder, see :func:`summarise_set`. Results on disk from before ``scored_over``
            was written have the score that counts as the first of 'top1'.
    """
    top1 = summary['top1']
    scored = summary.get('scored_over', next(iter(top1)))
    return scored, top1[scored]


def summarise_score(score: Mapping | None, sets: Mapping[str, dict]) -> dict | None:
    """Compute the score of Table IV from the sets of a run.

    Args:
        score: Config: 'protocol', 'top1' (names of sets), 'corruptions' (name of a set).
        sets: Name to :func:`summarise_set`.

    Returns:
        'value', 'made_of' and 'source', which say what went in; 'missing' instead of them where a
        set was not evaluated. None without a score in the config.
    """
    if not score:
        return None
    names = [*score['top1'], score['corruptions']]
    missing = [name for name in names if name not in sets]
    if missing:
        return dict(protocol=score['protocol'], missing=missing)
    top1 = {name: own_score(sets[name]) for name in score['top1']}
    corrupted = sets[score['corruptions']]
    metric = 'mCE' if 'mCE' in corrupted else 'mean_error'
    made_of = [f'{name} ({scored})' for name, (scored, _) in top1.items()]
    made_of.append(f'100 - {METRICS[metric]} of {score["corruptions"]}')
    return dict(
        protocol=score['protocol'],
        source=corrupted['source'],
        value=robustness_score([found['value'] for _, found in top1.values()], corrupted[metric]),
        made_of=made_of,
    )


def hints(sets: Mapping[str, dict]) -> list[str]:
    """Return a line for every set whose accuracy looks like a mistake."""
    lines = []
    for name, found in sets.items():
        top1 = 100 - found['mean_error'] if 'cells' in found else own_score(found)[1]['value']
        if top1 < 1:
            lines.append(
                f'{name}: top-1 is {top1:.2f} %, less than 1 %. Are the labels in the order of the '
                "model's outputs (robustness.classes), and is it the right checkpoint? "
                '(ImageNet-A alone may be that hard for a ResNet-50: it was selected against one)'
            )
    return lines


def rows(report: Mapping) -> list[dict]:
    """Flatten a report to the lines of its table, keyed by ``COLUMNS``.

    Args:
        report: 'status', 'sets' and 'score'.
    """
    found = []
    for name, summary in report['sets'].items():
        common = dict(set=name, protocol=summary['protocol'], source=summary['source'])
        for scored, top1 in summary.get('top1', {}).items():
            line = dict(metric=f'top-1, {scored} (%)', images=summary['images'])
            found.append(common | line | {k: top1[k] for k in ('value', 'standard_error')})
        for metric in ('mCE', 'mean_error'):
            if metric in summary:
                line = dict(metric=f'{METRICS[metric]} (%)', value=summary[metric])
                found.append(common | line | dict(images=summary['images']))
    if report['score'] and 'value' in report['score']:
        score = report['score']
        line = {key: score[key] for key in ('protocol', 'source', 'value')}
        found.append(line | dict(set='score', metric=f'mean of {", ".join(score["made_of"])}'))
    return [line | dict(status=report['status']) for line in found]


def to_csv(report: Mapping) -> str:
    """Return the table and, below it, every corruption and cell, as CSV."""
    lines = rows(report)
    for name, summary in report['sets'].items():
        common = dict(set=name, protocol=summary['protocol'], source=summary['source'])
        common['status'] = report['status']
        for metric, key in (
            ('error (%)', 'errors'),
            ('CE relative to AlexNet (%)', 'relative_errors'),
        ):
            for corruption, value in summary.get(key, {}).items():
                lines.append(common | dict(corruption=corruption, metric=metric, value=value))
        for cell in summary.get('cells', []):
            line = dict(metric='error (%)', images=cell['total'])
            keys = ('corruption', 'severity', 'value', 'standard_error')
            lines.append(common | line | {key: cell[key] for key in keys})
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval='', lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def table(report: Mapping) -> str:
    """Return the table in Markdown."""
    shown = [
        (
            line['set'],
            line['protocol'],
            line['metric'],
            f'{line["value"]:.2f}' + _plus_minus(line),
            str(line.get('images', '')),
            line.get('source', ''),
        )
        for line in rows(report)
    ]
    return _grid([('set', 'protocol', 'metric', 'value', 'images', 'source'), *shown])


def to_markdown(report: Mapping) -> str:
    """Return the whole report in Markdown: what was run, the table, the corruptions."""
    model = report['model']
    parts = [
        '# Robustness',
        f'Status: **{report["status"]}**',
        f'`{model["checkpoint"]}` (SHA-256 `{model["sha256"][:16]}`) of `{model["config"]}`, '
        f'{model["precision"]}, commit {report["environment"]["commit"]}.',
        table(report),
    ]
    if report['score'] and 'missing' in report['score']:
        missing = ', '.join(report['score']['missing'])
        parts.append(f'No score: {missing} was not evaluated.')
    for name, summary in report['sets'].items():
        if 'cells' not in summary:
            continue
        relative = summary.get('relative_errors')
        head = ['corruption', *(f'severity {s}' for s in SEVERITIES), 'mean']
        lines = [head + ['CE rel. to AlexNet'] * bool(relative)]
        for corruption in CORRUPTIONS:
            values = [c['value'] for c in summary['cells'] if c['corruption'] == corruption]
            values.append(summary['errors'][corruption])
            if relative:
                values.append(relative[corruption])
            lines.append([corruption, *(f'{value:.2f}' for value in values)])
        source = '' if summary['source'] == 'files' else f', {summary["source"]}'
        parts += [f'## {name}: top-1 errors (%){source}', _grid(lines)]
    return '\n\n'.join(parts) + '\n'


def write_report(report: Mapping, stem: Path) -> None:
    """Write ``stem`` with .json, .csv and .md, each whole or not at all."""
    texts = {
        '.json': json.dumps(report, indent=1),
        '.csv': to_csv(report),
        '.md': to_markdown(report),
    }
    for suffix, text in texts.items():
        write_atomically(text.encode(), stem.with_suffix(suffix))


def _plus_minus(line: Mapping) -> str:
    return f' ± {line["standard_error"]:.2f}' if 'standard_error' in line else ''


def _grid(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[c.ljust(width) for c, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ['-' * width for width in widths])
    return '\n'.join(f'| {" | ".join(line)} |' for line in padded)
