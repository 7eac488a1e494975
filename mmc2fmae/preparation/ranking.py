"""Choose photographs of a dataset to look at: at random, by name, or the worst by some number."""

import heapq
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.files import missing_files, spelt_otherwise
from mmc2fmae.images.opening import UNREADABLE
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.parallel import in_chunks
from mmc2fmae.preparation.folders import Layout, find_manifest
from mmc2fmae.preparation.layout import read_manifest
from mmc2fmae.preparation.photograph_checks import count_ids

Record = dict[str, Any]


def instance_score(record: Record) -> float | None:
    """Return the mean score of a photograph's instances; 0 without any, None where unknown."""
    scores = [one['score'] for one in record['instances'] if 'score' in one]
    if record['instances'] and not scores:
        return None
    return float(np.mean(scores)) if scores else 0.0


MEASURES: dict[str, Callable[[Record], float | None]] = {
    'score': instance_score,
    'coverage': lambda record: record.get('coverage'),
    'instances': lambda record: -len(record['instances']) if 'instances' in record else None,
    'semantic-score': lambda record: record.get('semantic_score'),
    'semantic-coverage': lambda record: record.get('semantic_coverage'),
}
"""What photographs are ranked by; the least is the worst, so of instances it is the most."""


def measure(name: str, layout: Layout) -> Record | None:
    """Describe a photograph by its maps, in the terms of the manifest; None without readable maps.

    Args:
        name: Its path relative to the folder of the photographs.
        layout: Where things lie.
    """
    record: Record = dict(path=name)
    for granularity in layout.granularities:
        try:
            counts = count_ids(read_label_map(str(layout.path(granularity, name))))
        except UNREADABLE:
            return None
        if granularity == 'instance':
            ids = (np.flatnonzero(counts[1:]) + 1).tolist()
            record['instances'] = [dict(id=i, area=int(counts[i])) for i in ids]
            record['coverage'] = float(counts[1:].sum() / counts.sum())
        else:
            unknown = counts[IGNORE] if len(counts) > IGNORE else 0
            record['semantic_coverage'] = float(1 - unknown / counts.sum())
    return record


def read_records(layout: Layout, quiet: bool = False) -> Iterator[Record]:
    """Yield what is known of every photograph with maps, from the manifest or else from the maps.

    Raises:
        DatasetError: A line of the manifest is damaged.
    """
    manifest = find_manifest(layout)
    if manifest:
        yield from (record for record in read_manifest(manifest) if 'error' not in record)
        return
    measure_all = partial(_measure_all, layout=layout)
    for records in in_chunks(measure_all, layout.photographs(), quiet=quiet):
        yield from records


def worst(records: Iterable[Record], number: int, by: str) -> list[Record]:
    """Return the ``number`` records that are least by one of :data:`MEASURES`, worst first.

    Raises:
        DatasetError: No record has it.
    """
    value = MEASURES[by]
    ranked = ((value(record), record['path'], record) for record in records)
    least = heapq.nsmallest(number, (r for r in ranked if r[0] is not None), key=lambda r: r[:2])
    if not least:
        raise DatasetError(
            f'no photograph has a {by}: that needs maps of that kind and, for scores, the manifest '
            'that the labelling tool writes'
        )
    return [record for _, _, record in least]


def sample(layout: Layout, number: int, seed: int) -> list[Record]:
    """Return records of photographs drawn at random, by name.

    Args:
        layout: Where things lie.
        number: Photographs to draw, at most all.
        seed: Seed of the draw.
    """
    names = layout.photographs()
    chosen = np.random.default_rng(seed).permutation(len(names))[:number]
    return look_up(layout, [names[i] for i in sorted(chosen.tolist())])


def look_up(layout: Layout, names: Sequence[str]) -> list[Record]:
    """Return the records of these photographs, from the manifest or else from the maps.

    Raises:
        DatasetError: Photographs are not there, or a line of the manifest is damaged.
    """
    gone = missing_files(layout.path('rgb', name) for name in names)
    if gone:
        raise DatasetError(
            f'{len(gone):,} of {len(names):,} photographs do not exist, first '
            f'{first_names(gone)}{spelt_otherwise(gone)}: expected paths relative to '
            f'{layout.path("rgb", "")}'
        )
    manifest, wanted, known = find_manifest(layout), set(names), {}
    if manifest:
        known = {r['path']: r for r in read_manifest(manifest) if r['path'] in wanted}
    return [known.get(name) or measure(name, layout) or dict(path=name) for name in names]


def _measure_all(names: Sequence[str], layout: Layout) -> list[Record]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        return [record for name in names if (record := measure(name, layout))]
