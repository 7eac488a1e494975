"""The one pool and the one progress bar: work spread over processes or threads, in order."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from threading import Thread
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


def progress_bar(total: int, unit: str, initial: int = 0, quiet: bool = False) -> tqdm:
    """Return a bar with rate and time left on stderr, of the first process of a run alone.

    On a terminal it is one live line, from the first second on; in a log file it is a line every
    half minute and one at the end, and nothing where the work takes less than that.

    Args:
        total: Items.
        unit: What an item is, in the singular; 'B' are bytes, shown as kB, MB, ...
        initial: Items that were done before.
        quiet: Show nothing.
    """
    options = dict(unit=unit, unit_scale=True) if unit == 'B' else dict(unit=f' {unit}s')
    if not sys.stderr.isatty():
        options |= dict(file=_LogFile(), mininterval=30, miniters=1)
    return tqdm(
        total=total,
        initial=initial,
        disable=quiet or int(os.environ.get('RANK', 0)) > 0,
        smoothing=0.05,
        delay=1,
        **options,
    )


def in_chunks(
    function: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    workers: int | None = None,
    unit: str = 'image',
    quiet: bool = False,
    size: int = CHUNK,
) -> Generator[Result, None, None]:
    """Yield ``function(chunk)`` for consecutive chunks of ``items``, in their order.

    Whoever may stop early closes the iterator, which waits for the tasks under way.

    Args:
        function: Can be pickled.
        items: Items.
        workers: Processes; by default one a core, and none beside this one for few items.
        unit: What an item is, for the bar.
        quiet: Show no bar.
        size: Items a chunk.

    Raises:
        RuntimeError: A process died.
    """
    chunks = [items[i : i + size] for i in range(0, len(items), size)]
    if workers is None:
        workers = available_cores()
    # A process costs more than a few items.
    workers = min(workers, max(-(-len(items) // CHUNK) // 4, 1), max(len(chunks), 1))
    bar = progress_bar(len(items), unit, quiet=quiet)
    with bar, closing(_results(function, chunks, workers)) as results:
        for chunk, result in zip(chunks, results, strict=True):
            bar.update(len(chunk))
            yield result


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    unit: str = 'image',
    quiet: bool = False,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in their order, from threads: for reading of files.

    Args:
        function: What it does, decoding included, leaves the interpreter to the other threads.
        items: Items.
        unit: What an item is, for the bar.
        quiet: Show no bar.
    """
    bar = progress_bar(len(items), unit, quiet=quiet)
    with bar, ThreadPoolExecutor(min(8, available_cores())) as pool:
        for result in pool.map(function, items):
            bar.update()
            yield result


def _results(
    function: Callable[[Sequence[Item]], Result], chunks: list[Sequence[Item]], workers: int
) -> Generator[Result, None, None]:
    if workers == 1:
        yield from map(function, chunks)
        return
    with ProcessPoolExecutor(workers, initializer=be_a_worker) as pool:
        try:
            yield from pool.map(function, chunks)
        except BrokenProcessPool as error:
            raise RuntimeError(
                f'one of {workers} processes died (out of memory, killed, or started from a script '
                "without `if __name__ == '__main__':`): use fewer, 1 needs none of this"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def be_a_worker(number: int | None = None) -> None:
    """Leave signals to the parent, and end with it, however it ends.

    Args:
        number: Number of the worker, which data loaders tell.
    """
    # Ctrl-C reaches every process of a terminal, SIGTERM those of a job: the parent still needs
    # its workers while it saves, and ends them by a SIGTERM of its own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        Thread(target=_end_by_parent, args=(os.getppid(),), daemon=True).start()
    end_with_parent(signal.SIGKILL)


def _end_by_parent(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)


def end_with_parent(number: signal.Signals) -> None:
    """Let the system send this process a signal when its parent dies, by ``kill -9``, too.

    Args:
        number: The signal. Systems other than Linux do not know this.
    """
    if sys.platform == 'linux':
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, int(number))


class _LogFile:
    """Stderr for a bar that is no terminal: each state is a line of its own."""

    def write(self, text: str) -> None:
        if text := text.strip():
            print(text, file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()
