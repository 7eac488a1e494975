"""A dataset report as one HTML page that needs no other file."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmc2fmae.html import render


def to_html(report: Mapping[str, Any]) -> str:
    """Return the page of a report of :func:`~mmc2fmae.preparation.report.summarise`."""
    settings = report['settings']
    return render(
        'dataset_check.html',
        title=f'Check of {settings["root"]}',
        root=settings['root'],
        number=len(report['defects']),
        findings=[
            ('Defects', [_entry(entry, opened=True) for entry in report['defects']]),
            ('Warnings', [_entry(entry, opened=False) for entry in report['warnings']]),
        ],
        overview=_overview(report),
        charts=_charts(report),
        classes=report['statistics'].get('semantic', {}).get('classes', []),
        settings=[(key.replace('_', ' '), _show(value)) for key, value in settings.items()],
        version=report['version'],
    )


def bar_chart(
    bars: Sequence[tuple[str, int]], beyond: int | None = None, every: int = 1
) -> dict[str, Any]:
    """Return where the vertical bars of a chart stand, in its pixels.

    Args:
        bars: Label and height of each.
        beyond: Index from which bars have the second colour.
        every: Bars a label.
    """
    width, height, base, left = 720, 190, 160, 8
    most = max((value for _, value in bars), default=0) or 1
    step = (width - 2 * left) / max(len(bars), 1)
    placed = []
    for i, (label, value) in enumerate(bars):
        x, tall = left + i * step, value / most * (base - 20)
        place = dict(x=x + 1, y=base - tall, width=step - 2, height=tall, middle=x + step / 2)
        placed.append(
            {key: f'{number:.1f}' for key, number in place.items()}
            | dict(label=label, value=value, named=i % every == 0)
            | dict(beyond=beyond is not None and i >= beyond)
        )
    return dict(width=width, height=height, base=base, left=left, most=most, bars=placed)


def number_of(entry: Mapping[str, Any]) -> str:
    """Return how often something was found and, where known, the share of the photographs."""
    share = f' ({entry["share"]:.1%})' if 'share' in entry else ''
    return f'{entry["count"]:,}{share}'


def _entry(entry: Mapping[str, Any], opened: bool) -> dict[str, Any]:
    """Return a kind of finding as the page shows it; the examples of few are ``opened``."""
    named = [one for one in entry['examples'] if one['file'] or one['detail']]
    return dict(
        title=entry['title'],
        advice=entry['advice'],
        number=number_of(entry),
        named=named,
        more=entry['count'] - len(named),
        opened=opened and len(named) <= 5,
    )


def _overview(report: Mapping) -> list[tuple[str, str]]:
    statistics = report['statistics']
    photos = statistics['photographs']
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
    if 'instance' in statistics:
        instance = statistics['instance']
        per_image = instance['per_image']
        number = sum(per_image.values())
        mean = sum(int(n) * count for n, count in per_image.items()) / number
        rows += [
            ('instances', f'{mean:.2f} a photograph, {max(map(int, per_image))} at most'),
            (
                'covered by instances',
                f'{instance["coverage"]["mean"]:.1%} on average',
            ),
            (
                'in instances that training drops',
                f'{instance["dropped"]:.2%} on average',
            ),
        ]
    if 'semantic' in statistics:
        rows.append(
            ('with a known class', f'{statistics["semantic"]["coverage"]["mean"]:.1%} on average')
        )
    return rows


def _charts(report: Mapping) -> list[tuple[str, dict]]:
    statistics, charts = report['statistics'], []
    if 'instance' in statistics:
        kept = report['settings']['num_instances']
        bars = _per_image(statistics['instance']['per_image'], kept)
        title = 'Photographs by number of instances'
        beyond = f' (orange: more than the {kept - 1} that the model tells apart)'
        title += beyond if len(bars) > kept else ''
        charts.append((title, bar_chart(bars, kept, max(1, len(bars) // 20))))
        bars = _percentages(statistics['instance']['coverage']['bins'])
        title = 'Photographs by share of pixels with an instance (%)'
        charts.append((title, bar_chart(bars, every=2)))
    if 'semantic' in statistics:
        bars = _percentages(statistics['semantic']['coverage']['bins'])
        title = 'Photographs by share of pixels with a known class (%)'
        charts.append((title, bar_chart(bars, every=2)))
    return charts


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


def _show(value: object) -> str:
    if isinstance(value, Mapping):
        return ', '.join(f'{key}: {entry}' for key, entry in value.items())
    return ', '.join(map(str, value)) if isinstance(value, list) else str(value)
