"""Compare ways to store label maps: bytes, and images a second of one core to write and read."""

import argparse
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.env import collect
from mmc2fmae.files import evenly, list_files
from mmc2fmae.images.opening import open_image
from mmc2fmae.preparation.layout import GRANULARITIES, encode_map, map_path

BLOCK = 4096  # bytes that a file occupies at least, on most file systems

Pair = list[np.ndarray]


class Storage(NamedTuple):
    """A way to store an instance and a semantic map: one or two files, and back."""

    encode: Callable[[Pair], list[bytes]]
    read: Callable[[list[str]], Pair]


def png(*options: int) -> Storage:
    """One PNG a map by OpenCV with these options."""
    return Storage(
        lambda pair: [cv2.imencode('.png', labels, options)[1].tobytes() for labels in pair],
        lambda paths: [read_label_map(path) for path in paths],
    )


def pillow(mode: str, **options) -> Storage:
    """Both maps in the channels of one image by Pillow."""

    def encode(pair: Pair) -> list[bytes]:
        rest = [np.zeros_like(pair[0])] * (len(mode) - 2)
        data = io.BytesIO()
        Image.fromarray(np.dstack([*pair, *rest]), mode).save(data, **options)
        return [data.getvalue()]

    def read(paths: list[str]) -> Pair:
        with open_image(paths[0]) as image:
            both = np.asarray(image)
        return [both[..., 0], both[..., 1]]

    return Storage(encode, read)


def npz() -> Storage:
    """Both maps in one compressed file of NumPy."""

    def encode(pair: Pair) -> list[bytes]:
        data = io.BytesIO()
        np.savez_compressed(data, *pair)
        return [data.getvalue()]

    def read(paths: list[str]) -> Pair:
        with np.load(paths[0], allow_pickle=False) as arrays:
            return [arrays[name] for name in arrays.files]

    return Storage(encode, read)


def storages() -> dict[str, Storage]:
    """Return the ways that are compared, by name."""
    default, runs = cv2.IMWRITE_PNG_STRATEGY_DEFAULT, cv2.IMWRITE_PNG_STRATEGY_RLE
    none, up = cv2.IMWRITE_PNG_FILTER_NONE, cv2.IMWRITE_PNG_FILTER_UP

    def tuned(level: int, strategy: int, filters: int) -> Storage:
        return png(
            *(cv2.IMWRITE_PNG_COMPRESSION, level),
            *(cv2.IMWRITE_PNG_STRATEGY, strategy),
            *(cv2.IMWRITE_PNG_FILTER, filters),
        )

    return {
        'two PNGs, as this project writes them': Storage(
            lambda pair: [encode_map(labels) for labels in pair], png().read
        ),
        "two PNGs, OpenCV's defaults": png(),
        'two PNGs, level 1, no filter': tuned(1, default, none),
        'two PNGs, level 9, no filter': tuned(9, default, none),
        'two PNGs, level 6, filter up': tuned(6, default, up),
        'two PNGs, run lengths, no filter': tuned(1, runs, none),
        'one 2-channel PNG': pillow('LA', format='png'),
        'one 3-channel PNG': pillow('RGB', format='png'),
        'one lossless WebP': pillow('RGB', format='webp', lossless=True, quality=20, method=0),
        'one npz': npz(),
    }


def write_all(storage: Storage, pairs: list[Pair], folder: Path) -> list[list[str]]:
    """Write all maps; return the files of each photograph."""
    written = []
    for i, pair in enumerate(pairs):
        files = []
        for k, data in enumerate(storage.encode(pair)):
            files.append(str(folder / f'{i}_{k}'))
            Path(files[-1]).write_bytes(data)
        written.append(files)
    return written


def read_all(storage: Storage, files: list[list[str]]) -> list[Pair]:
    """Read all maps back."""
    return [storage.read(paths) for paths in files]


def timed(function: Callable, *arguments) -> tuple[float, list]:
    """Return how many seconds of processor time a call takes, and its result."""
    start = time.process_time()  # what others do on a shared machine counts less
    result = function(*arguments)
    return time.process_time() - start, result


def main() -> None:
    """Print a table with one row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help='folder with instance/SPLIT and semantic/SPLIT')
    parser.add_argument('--split', default='train', help='(train)')
    parser.add_argument('--number', type=int, default=100, help='photographs, evenly spaced (100)')
    parser.add_argument('--rounds', type=int, default=5, help='(5)')
    parser.add_argument('--json', type=Path, help='file for all figures')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    names = evenly(list_files(Path(args.root, 'instance', args.split)), args.number)
    pairs = [
        [read_label_map(str(map_path(args.root, kind, args.split, name))) for kind in GRANULARITIES]
        for name in names
    ]
    if any(labels.dtype != np.uint8 for pair in pairs for labels in pair):
        parser.exit(2, f'{parser.prog}: error: {args.root} has 16-bit maps, 8-bit ones expected\n')
    size = statistics.mean(pair[0].size for pair in pairs)
    print(f'{len(pairs)} photographs of {size / 1e3:.0f} thousand pixels, {args.rounds} rounds')
    print('| | bytes | on disk | written/s | read/s |\n| --- | --- | --- | --- | --- |')
    ways = storages()
    writing, reading = ({name: [] for name in ways} for _ in range(2))
    with tempfile.TemporaryDirectory() as root:
        files = {}
        for _ in range(args.rounds):
            # In a new order each time: no way is always measured on a warmer or busier machine.
            for name in random.sample(list(ways), len(ways)):
                folder = Path(root, str(list(ways).index(name)))
                folder.mkdir(exist_ok=True)
                took, files[name] = timed(write_all, ways[name], pairs, folder)
                writing[name].append(took)
                took, maps = timed(read_all, ways[name], files[name])
                reading[name].append(took)
                if not all(map(np.array_equal, chain(*pairs), chain(*maps))):
                    raise RuntimeError(f'{name}: the maps came back changed')
        figures = {}
        for name in ways:
            sizes = [Path(path).stat().st_size for path in chain(*files[name])]
            figures[name] = dict(
                bytes=sum(sizes) / len(pairs),
                on_disk=sum(-(-n // BLOCK) * BLOCK for n in sizes) / len(pairs),
                written_per_s=len(pairs) / statistics.median(writing[name]),
                read_per_s=len(pairs) / statistics.median(reading[name]),
            )
            print(' | '.join([f'| {name}', *(f'{n:,.0f}' for n in figures[name].values())]) + ' |')
    if args.json:
        result = dict(environment=collect(), photographs=len(pairs), ways=figures)
        args.json.write_text(json.dumps(result, indent=2))


if __name__ == '__main__':
    main()
