"""The report of a scan: what was found and what the dataset is made of, as JSON, HTML and lists."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmc2fmae
from mmc2fmae.files import write_atomically
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.preparation.findings import KINDS
from mmc2fmae.preparation.report_page import number_of, to_html
from mmc2fmae.preparation.scan import Scan
from mmc2fmae.preparation.statistics import Statistics

EXAMPLES = 20
"""Findings of a kind that the JSON and the HTML show; all of them are in findings.txt."""


def summarise(scan: Scan, settings: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Turn a scan into a report.

    Args:
        scan: The scan.
        settings: What was asked for, JSON types; has 'granularities' and 'num_instances'.
        classes: Names of the semantic classes.

    Returns:
        'version', 'settings', 'photographs', 'usable' (their numbers), 'defects' and 'warnings'
        (one entry a kind: 'kind', 'title', 'advice', 'count', 'examples' and, of warnings about
        photographs, their 'share'), 'statistics' (see :func:`statistics`). JSON types.
    """
    counts = Counter(finding.kind for finding in scan.findings)
    examples: dict[str, list[dict]] = {kind: [] for kind in counts}
    for finding in scan.findings:
        if len(examples[finding.kind]) < EXAMPLES:
            examples[finding.kind].append(dict(file=finding.file, detail=finding.detail))
    entries: dict[bool, list[dict]] = {True: [], False: []}
    for kind, what in KINDS.items():
        if not counts[kind]:
            continue
        entry = dict(kind=kind, title=what.title, advice=what.advice, count=counts[kind])
        if not what.defect and examples[kind][0]['file']:
            entry['share'] = counts[kind] / scan.photographs
        entries[what.defect].append(entry | dict(examples=examples[kind]))
    return dict(
        version=mmc2fmae.__version__,
        settings=dict(settings),
        photographs=scan.photographs,
        usable=len(scan.usable),
        defects=entries[True],
        warnings=entries[False],
        statistics=statistics(scan.stats, settings['granularities'], classes),
    )


def statistics(
    stats: Statistics, granularities: Sequence[str], classes: Sequence[str]
) -> dict[str, Any]:
    """Return what photographs and maps are like.

    Args:
        stats: Their sums.
        granularities: The granularities that are maps.
        classes: Names of the semantic classes.

    Returns:
        'photographs': 'modes', 'smallest' and 'largest' (width, height). 'instance': 'per_image'
        (number of instances to photographs), 'coverage' (see :func:`_shares`) and 'dropped', the
        share of the pixels whose ids are beyond the model's classes. 'semantic': 'coverage' of the
        known pixels and 'classes', by falling share: 'id', 'name', 'share' of the pixels and
        'photographs' (number). Shares are means over photographs, whatever their size. A part
        without maps is absent.
    """
    area = {(width, height): width * height for width, height in stats.sizes}
    report: dict[str, Any] = dict(
        photographs=dict(
            modes=dict(stats.modes.most_common()),
            smallest=min(area, key=lambda size: area[size]) if area else None,
            largest=max(area, key=lambda size: area[size]) if area else None,
        )
    )
    if 'instance' in granularities and stats.instances:
        report['instance'] = dict(
            per_image=dict(sorted(stats.instances.items())),
            coverage=_shares(stats.covered),
            dropped=stats.dropped / stats.instances.total(),
        )
    if 'semantic' in granularities and stats.known:
        by_share = sorted(stats.class_shares.items(), key=lambda pair: (-pair[1], pair[0]))
        report['semantic'] = dict(
            coverage=_shares(stats.known),
            classes=[
                dict(
                    id=i,
                    name=_class_name(i, classes),
                    share=share / stats.known.total(),
                    photographs=stats.class_photographs[i],
                )
                for i, share in by_share
            ],
        )
    return report


def describe(report: Mapping[str, Any], most: int = 5) -> str:
    """Return the findings of a report as lines for a terminal, defects last.

    Args:
        report: From :func:`summarise`.
        most: Files to name of each kind.
    """
    lines = []
    for level, key in (('warning', 'warnings'), ('DEFECT', 'defects')):
        for entry in report[key]:
            lines.append(f'{level}: {entry["title"]}: {number_of(entry)}')
            named = [': '.join(filter(None, e.values())) for e in entry['examples']]
            rest = entry['count'] - min(len(named), most)
            lines += [f'  {text}' for text in named[:most] if text]
            lines += [f'  and {rest:,} more'] if rest else []
    total = sum(entry['count'] for entry in report['defects'])
    lines.append(
        f'{report["photographs"]:,} photographs, {report["usable"]:,} usable, {total:,} defects'
        if total
        else f'{report["photographs"]:,} photographs, no defects'
    )
    return '\n'.join(lines)


def write_report(out: str | Path, report: Mapping[str, Any], scan: Scan) -> None:
    """Write ``report.json``, ``report.html``, ``findings.txt`` and ``usable.txt``.

    Args:
        out: Folder to write to.
        report: From :func:`summarise`.
        scan: The scan behind it.
    """
    lines = [
        '\t'.join(['defect' if KINDS[f.kind].defect else 'warning', f.kind, f.file, f.detail])
        for f in scan.findings
    ]
    texts = {
        'findings.txt': ''.join(f'{line}\n' for line in lines),
        'usable.txt': ''.join(f'{name}\n' for name in scan.usable),
        'report.json': json.dumps(report, indent=1),
        'report.html': to_html(report),
    }
    for name, text in texts.items():
        # Names of files need not be UTF-8: the lists give them back as they are.
        errors = 'backslashreplace' if name == 'report.html' else 'surrogateescape'
        write_atomically(text.encode(errors=errors), Path(out, name))


def _shares(photographs: Mapping[float, int], bins: int = 20) -> dict[str, Any]:
    """Summarise shares: their 'mean' and the photographs in equal 'bins' over [0, 1]."""
    total = sum(photographs.values())
    histogram = [0] * bins
    for share, number in photographs.items():
        histogram[min(int(share * bins), bins - 1)] += number
    mean = sum(share * number for share, number in photographs.items()) / total
    return dict(mean=mean, bins=histogram)


def _class_name(number: int, classes: Sequence[str]) -> str:
    if number == IGNORE:
        return 'unknown'
    return classes[number] if number < len(classes) else f'outside the {len(classes)} classes'
