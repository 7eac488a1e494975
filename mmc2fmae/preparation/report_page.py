"""A dataset report as one HTML page that needs no other file."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --soft: #5b6570; --line: #d8dde3; --bar: #0072b2;
  --beyond: #d55e00; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
.soft { color: var(--soft); } code { font-size: .92em; overflow-wrap: anywhere; }
.status { padding: .6rem .9rem; border-left: .4rem solid; margin: 1.2rem 0; font-weight: 600; }
.bad { border-color: #d55e00; background: #fdf1e9; } .good { border-color: #009e73;
  background: #e8f6f1; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top;
  padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.what { width: 52%; }
details { margin: .2rem 0 .4rem; } summary { cursor: pointer; color: var(--soft); }
li { margin: .1rem 0; } svg { width: 100%; height: auto; display: block; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.meter { width: 14rem; } .meter div { height: .8rem; background: var(--bar); min-width: 1px; }
"""


def node(tag: str, *content: 'str | ElementTree.Element', **attributes: object):
    """Return an element; all text and attributes are escaped when it is written.

    Args:
        tag: Its name.
        *content: Texts and elements.
        **attributes: Attributes; ``class_`` is class.
    """
    named = {key.rstrip('_').replace('_', '-'): str(value) for key, value in attributes.items()}
    element = ElementTree.Element(tag, named)
    for part in content:
        if not isinstance(part, str):
            element.append(part)
        elif len(element):
            element[-1].tail = (element[-1].tail or '') + part
        else:
            element.text = (element.text or '') + part
    return element


def to_html(report: Mapping[str, Any]) -> str:
    """Return the page of a report of :func:`~mmc2fmae.preparation.report.summarise`."""
    settings, number = report['settings'], len(report['defects'])
    status = f'{number} kind{"s" if number > 1 else ""} of defect' if number else 'No defects'
    page = node(
        'html',
        node(
            'head',
            node('meta', charset='utf-8'),
            node('meta', name='viewport', content='width=device-width, initial-scale=1'),
            node('title', f'Check of {settings["root"]}'),
            node('style', STYLE),
        ),
        node(
            'body',
            node('h1', 'Dataset check'),
            node('div', node('code', settings['root']), class_='soft'),
            node('div', f'{status}.', class_=f'status {"bad" if number else "good"}'),
            *_findings('Defects', report['defects']),
            *_findings('Warnings', report['warnings']),
            node('h2', 'Statistics'),
            _table(_overview(report)),
            *_charts(report),
            node('h2', 'Settings'),
            _table([(key.replace('_', ' '), _show(value)) for key, value in settings.items()]),
            node('p', f'mmc2fmae {report["version"]}', class_='soft'),
        ),
        lang='en',
    )
    return '<!DOCTYPE html>\n' + ElementTree.tostring(page, encoding='unicode', method='html')


def bar_chart(
    bars: Sequence[tuple[str, int]], beyond: int | None = None, every: int = 1
) -> ElementTree.Element:
    """Return an SVG of vertical bars.

    Args:
        bars: Label and height of each.
        beyond: Index from which bars have the second colour.
        every: Bars a label.
    """
    width, height, base, left = 720, 190, 160, 8
    most = max((value for _, value in bars), default=0) or 1
    step = (width - 2 * left) / max(len(bars), 1)
    svg = node('svg', viewBox=f'0 0 {width} {height}', role='img')
    svg.append(node('text', f'{most:,}', x=left, y=12))
    for i, (label, value) in enumerate(bars):
        x, tall = left + i * step, value / most * (base - 20)
        colour = 'var(--beyond)' if beyond is not None and i >= beyond else 'var(--bar)'
        bar = node('rect', node('title', f'{label}: {value:,}'), fill=colour)
        for key, number in dict(x=x + 1, y=base - tall, width=step - 2, height=tall).items():
            bar.set(key, f'{number:.1f}')
        svg.append(bar)
        if i % every == 0:
            place = dict(x=f'{x + step / 2:.1f}', y=base + 16)
            svg.append(node('text', label, text_anchor='middle', **place))
    line = dict(x1=left, y1=base, x2=width - left, y2=base)
    svg.append(node('line', stroke='var(--soft)', **line))
    return svg


def number_of(entry: Mapping[str, Any]) -> str:
    """Return how often something was found and, where known, the share of the photographs."""
    share = f' ({entry["share"]:.1%})' if 'share' in entry else ''
    return f'{entry["count"]:,}{share}'


def _findings(title: str, entries: Sequence[Mapping]) -> list[ElementTree.Element]:
    if not entries:
        return []
    head = (('what', 'what'), ('number', 'number'), ('what to do', 'advice'))
    table = node('table', node('tr', *(node('th', text, class_=kind) for text, kind in head)))
    for entry in entries:
        what = node('td', node('strong', entry['title']))
        named = [e for e in entry['examples'] if e['file'] or e['detail']]
        if named:
            items = [
                node('li', node('code', e['file']), f'{": " if e["file"] else ""}{e["detail"]}')
                if e['detail']
                else node('li', node('code', e['file']))
                for e in named
            ]
            more = entry['count'] - len(named)
            if more > 0:
                items.append(node('li', f'and {more:,} more in findings.txt', class_='soft'))
            opened = dict(open='open') if title == 'Defects' and len(named) <= 5 else {}
            what.append(node('details', node('summary', 'which'), node('ul', *items), **opened))
        table.append(node('tr', what, node('td', number_of(entry), class_='number'),
                          node('td', entry['advice'])))  # fmt: skip
    return [node('h2', title), table]


def _overview(report: Mapping) -> list[tuple[str, str]]:
    found = report['statistics']
    photos = found['photographs']
    rows = [
        ('photographs', f'{report["photographs"]:,}'),
        (
            'usable: all maps, no defect',
            f'{report["usable"]:,}, listed in usable.txt (an ann_file for training)',
        ),
        ('modes', ', '.join(f'{number:,} {mode}' for mode, number in photos['modes'].items())),
    ]
    if photos['smallest']:
        sizes = [f'{w} x {h}' for w, h in (photos['smallest'], photos['largest'])]
        rows.append(('smallest and largest', ' and '.join(sizes)))
    if 'instance' in found:
        per_image = found['instance']['per_image']
        number = sum(per_image.values())
        mean = sum(int(n) * count for n, count in per_image.items()) / number
        rows += [
            ('instances', f'{mean:.2f} a photograph, {max(map(int, per_image))} at most'),
            ('covered by instances', f'{found["instance"]["coverage"]["mean"]:.1%} on average'),
            ('in instances that training drops', f'{found["instance"]["dropped"]:.2%} on average'),
        ]
    if 'semantic' in found:
        rows.append(
            ('with a known class', f'{found["semantic"]["coverage"]["mean"]:.1%} on average')
        )
    return rows


def _charts(report: Mapping) -> list[ElementTree.Element]:
    found, parts = report['statistics'], []
    if 'instance' in found:
        kept = report['settings']['num_instances']
        bars = _per_image(found['instance']['per_image'], kept)
        title = 'Photographs by number of instances'
        beyond = f' (orange: more than the {kept - 1} that the model tells apart)'
        title += beyond if len(bars) > kept else ''
        parts += [node('h3', title), bar_chart(bars, kept, max(1, len(bars) // 20))]
        bars = _percentages(found['instance']['coverage']['bins'])
        parts += [node('h3', 'Photographs by share of pixels with an instance (%)')]
        parts += [bar_chart(bars, every=2)]
    if 'semantic' in found:
        bars = _percentages(found['semantic']['coverage']['bins'])
        parts += [node('h3', 'Photographs by share of pixels with a known class (%)')]
        parts += [bar_chart(bars, every=2)]
        parts += [node('h3', 'Semantic classes by mean share of pixels')]
        parts += [_class_table(found['semantic']['classes'])]
    return parts


def _per_image(per_image: Mapping, kept: int) -> list[tuple[str, int]]:
    """Return the bars of 0, 1, 2, ... instances; the last one holds the long tail."""
    counts = {int(n): number for n, number in per_image.items()}
    last = min(max(counts), kept + 8)
    bars = [(str(n), counts.get(n, 0)) for n in range(last + 1)]
    tail = sum(number for n, number in counts.items() if n > last)
    return [*bars[:-1], (f'{last}+', bars[-1][1] + tail)] if tail else bars


def _percentages(bins: Sequence[int]) -> list[tuple[str, int]]:
    width = 100 // len(bins)
    return [(f'{i * width}-{(i + 1) * width}', number) for i, number in enumerate(bins)]


def _class_table(classes: Sequence[Mapping]) -> ElementTree.Element:
    table = node('table', node('tr', node('th', 'id', class_='number'), node('th', 'class'),
                               node('th', 'share', class_='number'), node('th'),
                               node('th', 'photographs', class_='number')))  # fmt: skip
    most = max(entry['share'] for entry in classes)
    for entry in classes:
        meter = node('div', style=f'width: {100 * entry["share"] / most:.1f}%')
        table.append(
            node(
                'tr',
                node('td', str(entry['id']), class_='number'),
                node('td', entry['name']),
                node('td', f'{entry["share"]:.2%}', class_='number'),
                node('td', meter, class_='meter'),
                node('td', f'{entry["photographs"]:,}', class_='number'),
            )
        )
    return table


def _table(rows: Sequence[tuple[str, str]]) -> ElementTree.Element:
    return node('table', *(node('tr', node('th', a), node('td', b)) for a, b in rows))


def _show(value: object) -> str:
    if isinstance(value, Mapping):
        return ', '.join(f'{key}: {entry}' for key, entry in value.items())
    return ', '.join(map(str, value)) if isinstance(value, list) else str(value)
