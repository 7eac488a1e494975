"""Run a labeller over a folder: read ahead, label, write behind, one process a device."""

import errno
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmc2fmae.errors import DatasetError, SampleError
from mmc2fmae.labeling.jobs import Job
from mmc2fmae.labeling.labeller import Labeller, Labels
from mmc2fmae.labeling.models import UnusableOutput
from mmc2fmae.labeling.photographs import Photograph, read_photograph
from mmc2fmae.parallel import progress_bar
from mmc2fmae.preparation.layout import map_path, write_map


@dataclass(frozen=True)
class Source:
    """The photographs and what to look for in them.

    Attributes:
        folder: Folder of the photographs.
        names: Their relative paths, sorted.
        prompts: From a relative path to the names of what to look for.
    """

    folder: Path
    names: Sequence[str]
    prompts: Callable[[str], Sequence[str]]


def run_job(
    job: Job,
    source: Source,
    labeller: Labeller,
    models: dict[str, Any],
    rank: int = 0,
    world_size: int = 1,
    workers: int = 4,
    quiet: bool = False,
) -> bool:
    """Label this process's parts of a job that are not done yet.

    Args:
        job: The job, claimed.
        source: Its photographs.
        labeller: The models on this process's device.
        models: Written into every line of the manifest.
        rank: This process.
        world_size: Number of processes; part i belongs to process i modulo their number.
        workers: Threads that read, merge and write.
        quiet: No progress bar.

    Returns:
        Whether all parts of all processes are done and the manifest is written.

    Raises:
        DatasetError: The disk is full (whatever has a final name is whole), or a model gave no
            numbers for a photograph.
    """
    done = job.done()
    mine = [i for i in range(rank, len(job.parts), world_size) if i not in done]
    with ThreadPoolExecutor(workers) as pool, _bar(job, done, quiet or rank > 0) as bar:
        writing: list[tuple[int, list[dict], list[Future]]] = []

        def settle() -> None:
            part, records, writes = writing.pop(0)
            for write in writes:
                write.result()
            job.finish(part, records)
            _show(bar, job)

        ahead = _read(job, mine[:1], source, pool)
        try:
            for position, part in enumerate(mine):
                read = ahead
                ahead = _read(job, mine[position + 1 : position + 2], source, pool)
                names = job.parts[part]
                labelled = _label(
                    [future.result() for future in read], names, source, labeller, pool
                )
                writes = [
                    pool.submit(_write_maps, job, name, labels)
                    for name, labels in zip(names, labelled, strict=True)
                    if isinstance(labels, Labels)
                ]
                records = [
                    dict(path=name) | (labels.record if isinstance(labels, Labels) else labels)
                    | models
                    for name, labels in zip(names, labelled, strict=True)
                ]  # fmt: skip
                writing.append((part, records, writes))
                if len(writing) > 1:  # a slow disk holds the models up, memory does not grow
                    settle()
            while writing:
                settle()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            pool.shutdown(cancel_futures=True)
            raise DatasetError(
                f'no space left on the disk of {job.root}: {len(job.done())} of '
                f'{len(job.parts)} parts are whole; free some and run the same command again'
            ) from error
    return job.merge()


def _read(job: Job, parts: Sequence[int], source: Source, pool: ThreadPoolExecutor) -> list[Future]:
    return [pool.submit(_try_read, source.folder / n) for part in parts for n in job.parts[part]]


def _try_read(path: Path) -> Photograph | dict:
    try:
        return read_photograph(path)
    except SampleError as error:
        return dict(error=str(error))


def _label(
    photos: Sequence[Photograph | dict],
    names: Sequence[str],
    source: Source,
    labeller: Labeller,
    pool: ThreadPoolExecutor,
) -> list[Labels | dict]:
    """Label the readable photographs of a part; the others keep their error."""
    readable = {i: photo for i, photo in enumerate(photos) if isinstance(photo, Photograph)}
    labelled: dict[int, Labels] = {}
    if readable:
        prompts = [source.prompts(names[i]) for i in readable]
        try:
            found = labeller(list(readable.values()), prompts, pool)
        except UnusableOutput as error:
            path = source.folder / names[list(readable)[error.index]]
            raise DatasetError(f'{path}: {error}') from error
        labelled = dict(zip(readable, found, strict=True))
    return [
        labelled[i] if isinstance(photo, Photograph) else photo for i, photo in enumerate(photos)
    ]


def _write_maps(job: Job, name: str, labels: Labels) -> None:
    write_map(map_path(job.root, 'instance', job.split, name), labels.instance)
    write_map(map_path(job.root, 'semantic', job.split, name), labels.semantic)


def _bar(job: Job, done: set[int], quiet: bool) -> tqdm:
    total = sum(map(len, job.parts))
    start = sum(len(job.parts[i]) for i in done)
    return progress_bar(total, 'image', start, quiet)


def _show(bar: tqdm, job: Job) -> None:
    if not bar.disable:  # the bar shows all processes' work
        bar.update(sum(len(job.parts[i]) for i in job.done()) - bar.n)
