"""Differences between rows over the seeds that both have, and which of them the seeds resolve."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

_MOST_SEEDS = 1000
_LEVEL = 0.975  # of Student's t, for an interval of 95 % on both sides

Values = Mapping[str, Mapping[int, float]]
"""Row to seed to number."""


class Difference(NamedTuple):
    """Mean of differences of equal seeds.

    Attributes:
        mean: Their mean.
        half: Half of its 95 % confidence interval (Student's t).
        needed: Seeds that would resolve a difference of this size and deviation; the number there
            is where they do, None beyond 1,000.
    """

    mean: float
    half: float
    needed: int | None

    @property
    def resolved(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.half < abs(self.mean)


def paired_difference(values: Sequence[float]) -> Difference:
    """Return mean, interval and the seeds that it takes.

    Args:
        values: Difference of two rows with each seed, two at least.
    """
    number, middle, spread = len(values), mean(values), stdev(values)
    seeds = np.arange(2, _MOST_SEEDS + 1)
    halves = stdtrit(seeds - 1, _LEVEL) * spread / np.sqrt(seeds)
    enough = seeds[halves < abs(middle)]
    half = float(stdtrit(number - 1, _LEVEL)) * spread / sqrt(number)
    if half < abs(middle):
        return Difference(middle, half, number)
    return Difference(middle, half, int(enough[0]) if len(enough) else None)


def common_half(values: Values) -> tuple[float, list[int]] | None:
    """Return half of the interval that one deviation for all rows gives to each difference.

    Number = row + seed + noise of one deviation (two-way analysis of variance): the noise of all
    rows estimates it with (rows - 1)(seeds - 1) degrees of freedom, where two rows have seeds - 1.

    Args:
        values: Numbers of the rows; seeds count that all rows have.

    Returns:
        Half of the 95 % interval (Student's t) and the seeds; None with fewer than three rows,
        where it is :func:`paired_difference`, or two seeds.
    """
    seeds = sorted(set.intersection(*map(set, values.values()))) if values else []
    if len(values) < 3 or len(seeds) < 2:
        return None
    table = np.array([[numbers[seed] for seed in seeds] for numbers in values.values()])
    noise = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    freedom = (len(values) - 1) * (len(seeds) - 1)
    deviation = sqrt(float((noise**2).sum()) / freedom)
    return float(stdtrit(freedom, _LEVEL)) * deviation * sqrt(2 / len(seeds)), seeds


def difference_table(metrics: Mapping[str, Values]) -> tuple[list[list[str]], str]:
    """Compare every two rows of a table, the later minus the earlier, where they share seeds.

    Args:
        metrics: Name of a metric to its numbers, rows in the order of the table.

    Returns:
        Heads and lines of a table, and what it says; both empty where no two rows share two seeds.
    """
    rows = list(dict.fromkeys(row for values in metrics.values() for row in values))
    lines, total, open_ = [], 0, 0
    for earlier, later in combinations(rows, 2):
        cells, shared = [], 0
        for values in metrics.values():
            first, second = values.get(earlier, {}), values.get(later, {})
            seeds = [seed for seed in first if seed in second]
            if len(seeds) < 2:
                cells.append('')
                continue
            found = paired_difference([second[seed] - first[seed] for seed in seeds])
            shared, total, open_ = max(shared, len(seeds)), total + 1, open_ + (not found.resolved)
            text = f'{found.mean:+.1f} ± {found.half:.1f}'
            needed = f'> {_MOST_SEEDS:,}' if found.needed is None else str(found.needed)
            cells.append(text if found.resolved else f'{text} ({needed})')
        if shared:
            lines.append([f'{later} - {earlier}', *cells, str(shared)])
    if not lines:
        return [], ''
    return [['difference', *metrics, 'seeds'], *lines], (
        'Differences over equal seeds, ± half of their 95 % confidence interval (Student t). '
        f'Not resolved, since the interval holds 0: {open_} of {total}; in brackets the seeds that '
        'a difference of this size and deviation would take. Every interval stands alone: of '
        'twenty rows that do not differ, one is expected to look as if it did.'
        + _with_one_deviation(metrics)
    )


def _with_one_deviation(metrics: Mapping[str, Values]) -> str:
    said = []
    for metric, values in metrics.items():
        values = {row: numbers for row, numbers in values.items() if numbers}
        common = common_half(values)
        if common is None:
            continue
        half, seeds = common
        means = {row: mean(numbers[seed] for seed in seeds) for row, numbers in values.items()}
        pairs = combinations(means, 2)
        resolved = [f'{b} - {a}' for a, b in pairs if abs(means[b] - means[a]) > half]
        said.append(
            f' {metric} ± {half:.1f} over {len(seeds)} seeds, resolved: '
            f'{", ".join(resolved) or "none"}.'
        )
    if not said:
        return ''
    return ' With one deviation for all rows (number = row + seed + noise):' + ''.join(said)
