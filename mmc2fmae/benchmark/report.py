"""Run the parts one after the other, and write what they found as Markdown and JSON."""

import json
import re
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mmc2fmae.benchmark.parts import PARTS, Bench, Disagreement
from mmc2fmae.env import collect
from mmc2fmae.files import write_atomically


def run(bench: Bench, names: Sequence[str], command: str) -> Iterator[dict[str, Any]]:
    """Run parts; one that fails is recorded, and the others go on.

    Args:
        bench: Sizes, device and public code.
        names: Which of :data:`PARTS`; 'peak' comes first in any case, as others need its figure.
        command: What the user typed, for the record.

    Yields:
        After every part what is known so far: ``record`` (environment), ``device``, ``scale``,
        ``command``, ``date`` and ``parts``: name to caption, rows, seconds and error (None where
        all is well).
    """
    device = bench.device
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU'
    result: dict[str, Any] = dict(
        record=collect(),
        device=name,
        precision=bench.precision,
        scale=asdict(bench.scale),
        checkouts={key: str(path) for key, path in bench.checkouts.items()},
        command=command,
        date=time.strftime('%Y-%m-%d'),
        parts={},
    )
    for part in dict.fromkeys(['peak', *names]):
        bench.say(f'{part} ...')
        start, rows, error = time.perf_counter(), [], None
        try:
            rows = PARTS[part](bench)
        except Disagreement as found:
            rows, error = found.rows, str(found)
        except Exception as failed:  # whatever it is, the other parts still say something
            traceback.print_exc()
            error = f'{type(failed).__name__}: {failed}'.splitlines()[0]
        result['parts'][part] = dict(
            caption=' '.join((PARTS[part].__doc__ or '').split()),
            rows=rows,
            seconds=round(time.perf_counter() - start, 1),
            error=error,
        )
        bench.say(error or f'{part}: done in {result["parts"][part]["seconds"]} s')
        yield result


def failed(result: dict[str, Any]) -> list[str]:
    """Return the parts that did not end well, each with the reason."""
    return [f'{name}: {part["error"]}' for name, part in result['parts'].items() if part['error']]


def write(result: dict[str, Any], folder: Path) -> Path:
    """Write ``gpu_<device>.json`` and ``gpu_<device>.md``.

    Args:
        result: What :func:`run` returned.
        folder: Where to.

    Returns:
        The Markdown file.
    """
    name = re.sub(r'[^a-z0-9]+', '_', result['device'].lower()).strip('_')
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, default=str)
    write_atomically(f'{text}\n'.encode(), folder / f'gpu_{name}.json')
    page = folder / f'gpu_{name}.md'
    write_atomically(to_markdown(result).encode(), page)
    return page


def to_markdown(result: dict[str, Any]) -> str:
    """Return the report as a page."""
    record = result['record']
    versions = ', '.join(f'{name} {v}' for name, v in record['versions'].items())
    dirty = ' with changes' if record['dirty'] else ''
    lines = [
        f'# How fast is it on one {result["device"]}?',
        '',
        f'`{result["command"]}`, {result["date"]}, commit {record["commit"]}{dirty}, '
        f'{result["precision"]} unless said otherwise. {record["hardware"]["cores"]} cores '
        f'({record["hardware"]["cpu"]}); {versions}; Python {record["python"]}.',
        '',
        'Images are random, and no data is loaded: a step is `train_step` of the config, from '
        "bytes on the host to the optimizer's update. Medians of "
        f'{result["scale"]["rounds"]} readings of {result["scale"]["steps"]} steps. A '
        'multiplication and an addition count one operation each; "% of peak" is of the matrix '
        'product in the first table.',
    ]
    for name, part in result['parts'].items():
        lines += ['', f'## {name.replace("_", " ").capitalize()}', '', part['caption'], '']
        if part['error']:
            lines += [f'**Failed**: {part["error"]}', '']
        if part['rows']:
            lines += _table(part['rows'])
    return '\n'.join(lines) + '\n'


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    heads = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_shown(row.get(head)) for head in heads] for row in rows]
    return [f'| {" | ".join(line)} |' for line in (heads, ['---'] * len(heads), *cells)]


def _shown(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, float):
        return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'
    return f'{value:,}' if isinstance(value, int) else str(value)
