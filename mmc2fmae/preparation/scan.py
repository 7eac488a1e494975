"""Scan a whole dataset: pairs, files, ids, classes, manifest."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.files import scan_folder
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.label_maps import between_others
from mmc2fmae.parallel import in_chunks
from mmc2fmae.preparation.findings import KINDS, Finding
from mmc2fmae.preparation.folders import Expected, Layout, find_manifest
from mmc2fmae.preparation.layout import read_manifest
from mmc2fmae.preparation.photograph_checks import Rules, check_photograph
from mmc2fmae.preparation.statistics import Statistics


@dataclass
class Scan:
    """What a scan of some photographs saw.

    Attributes:
        photographs: Number of photographs.
        usable: Photographs with all maps and no defect, relative to their folder.
        findings: Findings, by photograph.
        stats: What photographs and maps are like.
    """

    photographs: int = 0
    usable: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    stats: Statistics = field(default_factory=Statistics)

    def merge(self, other: 'Scan') -> None:
        """Add what a scan of other photographs saw."""
        self.photographs += other.photographs
        self.usable += other.usable
        self.findings += other.findings
        self.stats.merge(other.stats)


def scan_dataset(
    layout: Layout,
    rules: Rules,
    ann_file: str | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Scan:
    """Check every photograph and map of a dataset.

    Memory grows with file names and findings alone, not with pixels.

    Args:
        layout: Where things lie.
        rules: What maps have to be like.
        ann_file: List of the photographs to check, as in training; all by default.
        workers: Processes; by default one a core.
        quiet: Show no progress bar.

    Raises:
        DatasetError: There are no photographs.
        RuntimeError: A process died.
    """
    names = layout.photographs(ann_file)
    present = layout.photographs() if ann_file else names
    expected, lines = _read_expected(layout, present)
    scan = Scan(findings=_pairing(layout, present) + lines)
    check = partial(_check_chunk, layout=layout, rules=rules)
    items = [(name, expected.get(name)) for name in names]
    for part in in_chunks(check, items, workers, quiet=quiet):
        scan.merge(part)
    scan.findings += _class_findings(scan.stats, rules)
    return scan


def _check_chunk(
    items: Sequence[tuple[str, Expected | None]], layout: Layout, rules: Rules
) -> Scan:
    scan = Scan(len(items))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # a finding of its own
        for name, expected in items:
            stats, findings = check_photograph(name, layout, rules, expected)
            scan.stats.merge(stats)
            scan.findings += findings
            bad = any(f.kind == 'unlabelled' or KINDS[f.kind].defect for f in findings)
            if not bad:
                scan.usable.append(name)
    return scan


def _pairing(layout: Layout, photographs: Sequence[str]) -> list[Finding]:
    """Find maps without photograph, photographs that share maps, and temporary files."""
    stems = Counter(os.path.splitext(name)[0] for name in photographs)
    findings = []
    for name in photographs:
        number = stems[os.path.splitext(name)[0]]
        if number > 1:
            findings.append(Finding('twin', layout.file('rgb', name), f'{number} photographs'))
    for granularity, folder in layout.folders.items():
        found = scan_folder(Path(layout.root, folder))
        findings += [
            Finding('temporary', os.path.normpath(os.path.join(folder, name)))
            for name in found.hidden
            if name.endswith('.tmp')
        ]
        for name in found.files:
            if (
                granularity != 'rgb'
                and name.endswith(layout.suffix)
                and name.removesuffix(layout.suffix) not in stems
            ):
                file = os.path.normpath(os.path.join(folder, name))
                findings.append(Finding('orphan', file))
    return findings


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
    findings = [
        Finding('manifest', path.name, f'names {name}, which is not there')
        for name in expected
        if name not in known
    ]
    findings += [
        Finding('manifest', path.name, f'has no line for {name}')
        for name in photographs
        if name not in expected
    ]
    return expected, findings


def _class_findings(stats: Statistics, rules: Rules) -> list[Finding]:
    """Find out whether classes are missing from all maps."""
    if not stats.known:
        return []
    ids: dict[tuple[int, int, int], list[int]] = {}
    for colour, number in sorted(stats.palettes):
        ids.setdefault(colour, []).append(number)
    findings = [
        Finding('palette', detail=f'{colour} is {first_names(map(str, numbers))}')
        for colour, numbers in ids.items()
        if len(numbers) > 1
    ]
    seen = stats.class_photographs.keys() - {IGNORE}
    between = between_others(seen, stats.wide_classes.keys() - {IGNORE})
    if between:
        findings.append(Finding('edges', detail=f'class ids {first_names(map(str, between))}'))
    if len(seen) == 1:
        return [*findings, Finding('single', detail=f'id {min(seen)}')]
    return findings + [
        Finding('unseen', detail=f'{i} {name}')
        for i, name in enumerate(rules.classes)
        if i not in seen
    ]
