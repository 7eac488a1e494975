"""Spread the writing of scenes over processes, with progress."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import cv2

from mmc2fmae.parallel import in_chunks
from mmc2fmae.scenes.files import Written, write_scene
from mmc2fmae.scenes.spec import SceneSpec


def write_all(
    root: str,
    spec: SceneSpec,
    seed: int,
    counts: dict[str, int],
    workers: int | None = None,
    quiet: bool = False,
) -> dict[str, list[Written]]:
    """Write every scene of every split under `root`; return what was written, in order.

    Args:
        root: Folder whose subfolders are there.
        spec: Settings of the scenes.
        seed: Seed of all draws.
        counts: Scenes of each split.
        workers: Processes; by default one a core, fewer for few scenes.
        quiet: Show no bar.

    Raises:
        RuntimeError: A worker process died.
    """
    scenes = [(split, index) for split, count in counts.items() for index in range(count)]
    write = partial(_write, root, spec, seed)
    results: dict[str, list[Written]] = {split: [] for split in counts}
    # Before any fork: a child could not use, or even stop, threads that OpenCV had started.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        # Closed at once when Ctrl-C strikes in here, so that no process writes any more.
        with closing(in_chunks(write, scenes, workers, 'scene', quiet)) as chunks:
            written = [scene for chunk in chunks for scene in chunk]
    finally:
        cv2.setNumThreads(threads)
    for (split, _), scene in zip(scenes, written, strict=True):
        results[split].append(scene)
    return results


def _write(
    root: str, spec: SceneSpec, seed: int, scenes: Sequence[tuple[str, int]]
) -> list[Written]:
    if cv2.getNumThreads() > 1:  # not where it was inherited: OpenCV would wait for lost threads
        cv2.setNumThreads(1)
    return [write_scene(root, spec, seed, split, index) for split, index in scenes]
