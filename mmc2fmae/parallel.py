"""Spread work over processes, with a progress bar."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar('Item')
Result = TypeVar('Result')

CHUNK = 32  # items a task: long enough to hide its cost, short enough for a lively bar


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_chunks(
    function: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    workers: int | None = None,
    unit: str = 'image',
    progress: bool = True,
) -> Iterator[Result]:
    """Yield ``function(chunk)`` for consecutive chunks of ``items``, in their order.

    Args:
        function: Can be pickled.
        items: Items.
        workers: Processes; by default one a core, and none beside this one for few items.
        unit: What an item is, for the bar.
        progress: Whether to show a bar with rate and time left.

    Raises:
        RuntimeError: A process died.
    """
    chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
    if workers is None:
        workers = available_cores()
    workers = min(workers, max(len(chunks) // 4, 1))  # a process costs more than a few chunks
    bar = tqdm(total=len(items), unit=f' {unit}s', disable=not progress, smoothing=0.05)
    with bar, closing(_results(function, chunks, workers)) as results:
        for chunk, result in zip(chunks, results, strict=True):
            bar.update(len(chunk))
            yield result


def _results(function: Callable, chunks: list, workers: int) -> Iterator:
    if workers == 1:
        yield from map(function, chunks)
        return
    with ProcessPoolExecutor(workers, initializer=_leave_interrupts) as pool:
        try:
            yield from pool.map(function, chunks)
        except BrokenProcessPool as error:
            raise RuntimeError(
                f'one of {workers} processes died (out of memory, or killed): use fewer'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    # Ctrl-C reaches every process of a terminal; only the parent should act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
