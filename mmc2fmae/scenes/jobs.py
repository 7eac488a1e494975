"""Spread the writing of scenes over processes, with progress."""

import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

import cv2

from mmc2fmae.parallel import available_cores
from mmc2fmae.scenes.files import Written, write_scene
from mmc2fmae.scenes.spec import SceneSpec

_CHUNK = 50  # scenes a task: long enough to hide its cost, short enough to stop soon

Task = tuple[str, SceneSpec, int, str, int, int]


class Progress:
    """Report of how far a job is: one live line on a terminal, else a line every ten seconds.

    Args:
        total: Scenes to write.
        show: Whether to say anything.
    """

    def __init__(self, total: int, show: bool) -> None:
        self.total, self.show, self.done = total, show, 0
        self.live = sys.stderr.isatty()
        self.start = self.last = time.monotonic()

    def add(self, count: int) -> None:
        """Count `count` more scenes as written."""
        self.done += count
        now, end = time.monotonic(), self.done == self.total
        if not self.show or not (end or now - self.last > (0.2 if self.live else 10)):
            return
        self.last = now
        rate = self.done / max(now - self.start, 1e-6)
        text = f'scenes {self.done}/{self.total}  {rate:.0f}/s  '
        left = (self.total - self.done) / rate
        text += f'done in {now - self.start:.1f} s' if end else f'{left:.0f} s left'
        tail = '\n' if end or not self.live else ''
        print(f'\r{text:<60}' if self.live else text, end=tail, file=sys.stderr, flush=True)


def default_workers(scenes: int) -> int:
    """Processes for this many scenes: one for each core at hand, fewer for small jobs."""
    return max(1, min(available_cores(), scenes // 400))


def write_all(
    root: str, spec: SceneSpec, seed: int, counts: dict[str, int], workers: int, progress: bool
) -> dict[str, list[Written]]:
    """Write every scene of every split under `root`; return what was written, in order.

    Raises:
        RuntimeError: A worker process died.
    """
    tasks = [
        (root, spec, seed, split, start, min(start + _CHUNK, count))
        for split, count in counts.items()
        for start in range(0, count, _CHUNK)
    ]
    bar = Progress(sum(counts.values()), progress)
    results: dict[Task, list[Written]] = {}
    # Before any fork: a child could not use, or even stop, threads that OpenCV had started.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        # Closed at once when Ctrl-C strikes in here, so that no worker writes any more.
        with closing(_in_processes(tasks, workers) if workers > 1 else _in_place(tasks)) as run:
            for task, written in run:
                results[task] = written
                bar.add(len(written))
    finally:
        cv2.setNumThreads(threads)
    return {
        split: [scene for task in tasks if task[3] == split for scene in results[task]]
        for split in counts
    }


def _write(task: Task) -> list[Written]:
    root, spec, seed, split, start, stop = task
    return [write_scene(root, spec, seed, split, index) for index in range(start, stop)]


def _in_place(tasks: list[Task]) -> Iterator[tuple[Task, list[Written]]]:
    for task in tasks:
        yield task, _write(task)


def _start_worker() -> None:
    # Ctrl-C reaches every process of a terminal; only the parent should act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cv2.getNumThreads() > 1:  # not where it was inherited: OpenCV would wait for lost threads
        cv2.setNumThreads(1)


def _in_processes(tasks: list[Task], workers: int) -> Iterator[tuple[Task, list[Written]]]:
    pool = ProcessPoolExecutor(workers, initializer=_start_worker)
    try:
        waiting = {pool.submit(_write, task): task for task in tasks}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f'one of {workers} worker processes died while writing scenes (out of memory, killed, '
            "or started from a script without `if __name__ == '__main__':`); try workers=1"
        ) from error
    finally:
        # Waits for the few tasks under way, so that nothing is written after the clean-up.
        pool.shutdown(wait=True, cancel_futures=True)
