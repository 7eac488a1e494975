"""Scan a whole dataset: pairs, files, ids, classes, manifest."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import list_files
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.parallel import in_chunks
from mmc2fmae.preparation.findings import KINDS, Finding
from mmc2fmae.preparation.folders import Expected, Layout, find_manifest
from mmc2fmae.preparation.layout import read_manifest
from mmc2fmae.preparation.photograph_checks import Rules, check_photograph


class Scan(NamedTuple):
    """What a scan saw.

    Args:
        photographs: Number of photographs.
        usable: Photographs with all maps and no defect, relative to their folder.
        findings: Findings, by photograph.
        stats: Sums of what :func:`~mmc2fmae.preparation.photograph_checks.check_photograph` counts.
    """

    photographs: int
    usable: list[str]
    findings: list[Finding]
    stats: Counter


class _Part(NamedTuple):
    usable: list[str]
    findings: list[Finding]
    stats: Counter


def scan_dataset(
    layout: Layout,
    rules: Rules,
    ann_file: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Scan:
    """Check every photograph and map of a dataset.

    Memory grows with file names and findings alone, not with pixels.

    Args:
        layout: Where things lie.
        rules: What maps have to be like.
        ann_file: List of the photographs to check, as in training; all by default.
        workers: Processes; by default one a core.
        progress: Whether to show a bar.

    Raises:
        DatasetError: There are no photographs.
        RuntimeError: A process died.
    """
    names = layout.photographs(ann_file)
    present = layout.photographs() if ann_file else names
    findings = _pairing(layout, present)
    expected, lines = _read_expected(layout, present)
    findings += lines
    check = partial(_check_chunk, layout=layout, rules=rules)
    items = [(name, expected.get(name)) for name in names]
    usable: list[str] = []
    stats: Counter = Counter()
    for part in in_chunks(check, items, workers, progress=progress):
        usable += part.usable
        findings += part.findings
        stats.update(part.stats)
    findings += _class_findings(stats, rules)
    return Scan(len(names), usable, findings, stats)


def _check_chunk(
    items: Sequence[tuple[str, Expected | None]], layout: Layout, rules: Rules
) -> _Part:
    part = _Part([], [], Counter())
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # a finding of its own
        for name, expected in items:
            stats, findings = check_photograph(name, layout, rules, expected)
            part.stats.update(stats)
            part.findings.extend(findings)
            bad = any(f.kind == 'unlabelled' or KINDS[f.kind].defect for f in findings)
            if not bad:
                part.usable.append(name)
    return part


def _pairing(layout: Layout, photographs: Sequence[str]) -> list[Finding]:
    """Find maps without photograph, photographs that share maps, and temporary files."""
    stems = Counter(os.path.splitext(name)[0] for name in photographs)
    found = [
        Finding('twin', layout.file('rgb', name), f'{stems[stem]} photographs')
        for name in photographs
        if stems[stem := os.path.splitext(name)[0]] > 1
    ]
    for granularity, folder in layout.folders.items():
        for name in list_files(Path(layout.root, folder)):
            file = os.path.normpath(os.path.join(folder, name))
            base = os.path.basename(name)
            if base.startswith('.') and base.endswith('.tmp'):
                found.append(Finding('temporary', file))
            elif (
                granularity != 'rgb'
                and name.endswith(layout.suffix)
                and name.removesuffix(layout.suffix) not in stems
            ):
                found.append(Finding('orphan', file))
    return found


def _read_expected(
    layout: Layout, photographs: Sequence[str]
) -> tuple[dict[str, Expected], list[Finding]]:
    """Read the manifest, where there is one, and find lines and photographs without partner."""
    path = find_manifest(layout)
    if path is None:
        return {}, []
    expected: dict[str, Expected] = {}
    try:
        for number, record in enumerate(read_manifest(path), 1):
            try:
                expected[record['path']] = (
                    Expected(str(record['error']))
                    if 'error' in record
                    else Expected('', record['width'], record['height'], len(record['instances']))
                )
            except (KeyError, TypeError) as error:
                raise DatasetError(f'line {number} is damaged: {error!r}') from error
    except DatasetError as error:
        # What the other lines say is as good as unknown.
        return {}, [Finding('manifest', path.name, str(error).removeprefix(f'{path}, '))]
    known = set(photographs)
    found = [
        Finding('manifest', path.name, f'names {name}, which is not there')
        for name in expected
        if name not in known
    ]
    found += [
        Finding('manifest', path.name, f'has no line for {name}')
        for name in photographs
        if name not in expected
    ]
    return expected, found


def _class_findings(stats: Counter, rules: Rules) -> list[Finding]:
    """Find out whether classes are missing from all maps."""
    seen = {key[1] for key in stats if key[0] == 'class'} - {IGNORE}
    if not any(key[0] == 'known' for key in stats):
        return []
    if len(seen) == 1:
        return [Finding('single', detail=f'id {min(seen)}')]
    return [
        Finding('unseen', detail=f'{i} {name}')
        for i, name in enumerate(rules.classes)
        if i not in seen
    ]
