"""What a run logged, read back from its folder."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path


def read_records(work_dir: Path) -> Iterator[dict]:
    """Read all that the parts of a run logged, training and validation, in the order of writing."""
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):  # the line in whose middle a run was killed
                continue
            if isinstance(record, dict):
                yield record


def read_scalars(work_dir: Path) -> list[dict]:
    """Read the logged scalars of all parts of a run (it may have been resumed), in order.

    Where a part was interrupted after its last checkpoint, the repeated steps are taken from the
    later part.
    """
    steps = {
        record['step']: record
        for record in read_records(work_dir)
        if {'loss', 'step'} <= record.keys()
    }
    return [steps[step] for step in sorted(steps)]


def is_probe(record: dict) -> bool:
    """Tell whether a record is what a probe of a pre-training measured."""
    return any(key.startswith('probe/') for key in record)


def validations(records: Iterable[dict]) -> list[dict]:
    """Return what the validations of a run found, each with its ``step`` (an epoch or iteration).

    Args:
        records: Records of :func:`read_records`.
    """
    measured = []
    for record in records:
        found = {k: v for k, v in record.items() if k not in ('data_time', 'time', 'epoch')}
        if 'loss' not in found and not is_probe(found) and found.keys() - {'step'}:
            measured.append(found)
    return measured
