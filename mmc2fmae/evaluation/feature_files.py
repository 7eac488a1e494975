"""Features of any number of images as arrays on disk."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mmc2fmae.checkpoints import build_backbone
from mmc2fmae.evaluation.features import FeatureOptions, iterate_features
from mmc2fmae.evaluation.image_files import find_images
from mmc2fmae.files import require_room, write_atomically
from mmc2fmae.preflight.photographs import dark_photographs


def extract_features(
    checkpoint: str | Path, source: str | Path, out: str | Path, options: FeatureOptions, **stated
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Write the features of images to a folder of ``.npy`` files, never holding more than a batch.

    Images that cannot be read have no row; ``features.json`` lists those that have one.

    Args:
        checkpoint: Checkpoint of any house; see :func:`mmc2fmae.checkpoints.read_backbone`.
        source: Images; see :func:`find_images`.
        out: Folder to write: ``TOKEN_BLOCK.npy`` with a row an image, and ``features.json`` with
            the images' names and all settings. It appears when it is complete.
        options: How.
        **stated: See :func:`mmc2fmae.checkpoints.read_backbone`.

    Returns:
        Shapes of what was written, by file name without suffix, and why images were left out.

    Raises:
        FileExistsError: ``out`` exists.
        OSError: The disk has less room than the features need.
        ValueError: An option is wrong, no image can be read, or a feature is not finite.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f'{out} exists: choose another name or remove it')
    vit, preprocessing = build_backbone(checkpoint, **stated)
    reasons: list[str] = []
    paths = find_images(source, reasons)
    if note := dark_photographs(paths):
        print(f'warning: {note}')
    aside = out.with_name(f'.{out.name}.tmp')
    shutil.rmtree(aside, ignore_errors=True)  # of an interrupted run
    aside.mkdir(parents=True)
    arrays: dict[str, np.memmap] = {}
    row, left_out = 0, dict[int, str]()
    for batch in iterate_features(vit, preprocessing, paths, options, left_out):
        if not arrays:
            require_room(
                out,
                len(paths) * sum(value[0].nbytes for value in batch.values()),
                f'the features of {len(paths):,} images',
                'take fewer tokens or blocks, or half precision',
            )
            arrays = {
                key: np.lib.format.open_memmap(
                    aside / f'{key}.npy', 'w+', value.dtype, (len(paths), *value.shape[1:])
                )
                for key, value in batch.items()
            }
        for key, value in batch.items():
            arrays[key][row : row + len(value)] = value
        row += len(value)
    if not row:
        raise ValueError(f'no image of {source} can be read: {next(iter(left_out.values()))}')
    for key, array in arrays.items():
        array.flush()
        if left_out:
            arrays[key] = _shortened(aside / f'{key}.npy', row)
    paths = [path for i, path in enumerate(paths) if i not in left_out]
    said = dict(
        checkpoint=str(checkpoint),
        preprocessing=asdict(preprocessing),
        options=asdict(options),
        images=[str(path) for path in paths],
    )
    write_atomically(json.dumps(said, indent=1).encode(), aside / 'features.json')
    aside.rename(out)
    return {key: array.shape for key, array in arrays.items()}, [*reasons, *left_out.values()]


def _shortened(path: Path, rows: int, at_once: int = 4096) -> np.memmap:
    """Keep the first rows of an array on disk, never holding more than a few of them.

    Args:
        path: ``.npy`` file.
        rows: How many.
        at_once: Rows that are copied at a time.
    """
    whole, aside = np.load(path, mmap_mode='r'), path.with_suffix('.part')
    short = np.lib.format.open_memmap(aside, 'w+', whole.dtype, (rows, *whole.shape[1:]))
    for start in range(0, rows, at_once):
        short[start : start + at_once] = whole[start : min(start + at_once, rows)]
    short.flush()
    aside.replace(path)
    return short
