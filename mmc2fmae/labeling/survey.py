"""What a labelling job will cost, and which thresholds suit it, measured on a sample first."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmc2fmae.errors import DatasetError, SampleError
from mmc2fmae.files import evenly
from mmc2fmae.labeling.detection import Detections
from mmc2fmae.labeling.instances import ThresholdSchedule, adaptive_threshold
from mmc2fmae.labeling.jobs import Job
from mmc2fmae.labeling.labeller import Detector, Labeller
from mmc2fmae.labeling.photographs import Photograph, read_photograph
from mmc2fmae.labeling.pipeline import Source, run_job
from mmc2fmae.parallel import in_threads
from mmc2fmae.preparation.layout import GRANULARITIES, read_manifest


class Estimate(NamedTuple):
    """What was measured on a sample.

    Args:
        photographs: Number of photographs labelled.
        unreadable: Number of photographs that could not be read.
        seconds: Wall time, reading and writing included, loading of the models not.
        bytes_on_disk: Space that the maps and records take, in whole disk blocks.
    """

    photographs: int
    unreadable: int
    seconds: float
    bytes_on_disk: int

    def describe(self, total: int) -> str:
        """Say what this means for ``total`` photographs."""
        rate = self.photographs / self.seconds
        hours = total / rate / 3600
        space = self.bytes_on_disk / self.photographs * total
        return (
            f'{self.photographs} photographs in {self.seconds:.1f} s: {rate:.2f} images/s on one '
            f'device ({self.unreadable} unreadable)\n'
            f'all {total:,}: {hours:.1f} device hours, {hours / 8:.1f} h on 8 devices; '
            f'{space / 2**30:.2f} GiB of maps and records'
        )


def estimate(
    source: Source, labeller: Labeller, number: int, part_size: int, workers: int, near: Path
) -> Estimate:
    """Label evenly spaced photographs into a folder that is removed again.

    Args:
        source: All photographs.
        labeller: The models.
        number: Photographs to label.
        part_size: As in the long run.
        workers: Threads that read, merge and write.
        near: Folder beside which the temporary one is made, so that the disk is the real one.
    """
    names = evenly(source.names, number)
    near.mkdir(parents=True, exist_ok=True)
    sample = replace(source, names=names)
    with tempfile.TemporaryDirectory(prefix='.estimate-', dir=near) as folder:
        warm = Job(Path(folder, 'warm'), 'sample', names[:1], 1, {})
        job = Job(Path(folder, 'timed'), 'sample', names, part_size, {})
        for one in (warm, job):  # the first call of a model is slower than all others
            start = time.perf_counter()
            with one.claim(0):
                run_job(one, sample, labeller, {}, workers=workers, quiet=one is warm)
        seconds = time.perf_counter() - start
        unreadable = sum('error' in record for record in read_manifest(job.manifest))
        files = [p for g in GRANULARITIES for p in (job.root / g).rglob('*.png')]
        blocks = sum(path.stat().st_blocks for path in [*files, job.manifest])
        return Estimate(len(names), unreadable, seconds, 512 * blocks)


def sweep_table(scores: Sequence[np.ndarray], schedule: ThresholdSchedule) -> list[dict[str, Any]]:
    """Tell what each threshold of a schedule would give.

    Args:
        scores: Scores of each photograph's detections, at the schedule's floor or above.
        schedule: The thresholds to try.

    Returns:
        Per threshold, highest first: ``threshold``, ``enough`` (share of photographs with enough
        detections), ``detections`` (mean number) and ``used`` (share of photographs for which the
        adaptive threshold stops here).
    """
    used = [adaptive_threshold(one, schedule) for one in scores]
    rows = []
    for threshold in schedule.thresholds():
        numbers = [np.count_nonzero(one >= threshold) for one in scores]
        rows.append(
            dict(
                threshold=threshold,
                enough=np.mean([n >= schedule.min_detections for n in numbers]),
                detections=np.mean(numbers),
                used=np.mean([one == threshold for one in used]),
            )
        )
    return rows


def sweep(
    source: Source, detector: Detector, schedule: ThresholdSchedule, number: int, out: Path
) -> list[dict[str, Any]]:
    """Try the thresholds of a schedule on a sample and draw what they find.

    Args:
        source: All photographs.
        detector: Detector.
        schedule: Thresholds.
        number: Photographs of the sample, evenly spaced.
        out: Picture to write, PNG: up to 40 photographs with their boxes and scores.

    Returns:
        See :func:`sweep_table`.

    Raises:
        DatasetError: None of the photographs can be read.
    """
    names, photos = [], []
    read = partial(_try, source.folder)
    for name, photo in in_threads(read, evenly(source.names, number)):
        if photo is not None:
            names.append(name)
            photos.append(photo)
    if not photos:
        raise DatasetError(f'none of {number} photographs of {source.folder} can be read')
    prompts = [source.prompts(name) for name in names]
    detections = detector([photo.pixels for photo in photos], prompts, schedule.floor)
    tiles = [
        _tile(*what, schedule)
        for what in zip(photos[:40], detections[:40], names, prompts, strict=False)
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    _grid(tiles).save(out)
    return sweep_table([one.scores for one in detections], schedule)


def _try(folder: Path, name: str) -> tuple[str, Photograph | None]:
    try:
        return name, read_photograph(folder / name)
    except SampleError:
        return name, None


_TILE = (360, 300)


def _tile(
    photo: Photograph,
    detections: Detections,
    name: str,
    prompts: Sequence[str],
    schedule: ThresholdSchedule,
) -> Image.Image:
    """Draw a photograph's boxes: green above its adaptive threshold, grey down to the floor."""
    threshold = adaptive_threshold(detections.scores, schedule)
    image = Image.fromarray(photo.pixels)
    image.thumbnail((_TILE[0] - 8, _TILE[1] - 40))
    draw = ImageDraw.Draw(image)
    scale = image.width / photo.pixels.shape[1]
    font = ImageFont.load_default(12)
    for i in reversed(range(len(detections.scores))):  # the best on top
        color = 'lime' if detections.scores[i] >= threshold else 'lightgrey'
        box = (detections.boxes[i] * scale).tolist()
        draw.rectangle(box, outline=color, width=2 if color == 'lime' else 1)
        if color == 'lime':
            draw.text((box[0] + 3, box[1] + 1), f'{detections.scores[i]:.2f}', 'lime', font,
                      stroke_width=1, stroke_fill='black')  # fmt: skip
    tile = Image.new('RGB', _TILE, 'white')
    tile.paste(image, (4, 36))
    draw = ImageDraw.Draw(tile)
    draw.text((4, 2), name[-54:], 'black', font)
    above = np.count_nonzero(detections.scores >= threshold)
    text = f'{above} at {threshold:.2f} of {len(detections.scores)}: {"; ".join(prompts)}'
    draw.text((4, 18), text[:54], 'black', font)
    return tile


def _grid(tiles: Sequence[Image.Image], columns: int = 4) -> Image.Image:
    rows = -(-len(tiles) // columns)
    sheet = Image.new('RGB', (columns * _TILE[0], rows * _TILE[1]), 'white')
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % columns * _TILE[0], i // columns * _TILE[1]))
    return sheet
