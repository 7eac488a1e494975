"""What a run logged, read back from its folder."""

import json
from collections.abc import Iterator
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
