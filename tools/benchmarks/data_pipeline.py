"""Time the input pipeline on one core: JPEG and two label PNGs to a masked 224 x 224 sample."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.datasets.sample_io import read_rgb
from mmc2fmae.images import open_image

CONFIG = Path(__file__).parents[2] / 'configs/pretrain/c2fmae_vitb_1600e.py'


def write_dataset(images: Path, root: Path) -> None:
    """Link photographs and write blob-shaped maps of the same size beside them."""
    rng = np.random.default_rng(0)
    for folder in ('train', 'instance/train', 'semantic/train'):
        (root / folder).mkdir(parents=True)
    for path in sorted(p for p in images.iterdir() if p.suffix.lower() in ('.jpg', '.jpeg')):
        (root / 'train' / path.name).symlink_to(path.resolve())
        with open_image(path) as image:
            size = image.size
        for name, top in (('instance', 6), ('semantic', 133)):
            coarse = Image.fromarray(rng.integers(0, top, (8, 8), dtype=np.uint8))
            coarse.resize(size, Image.Resampling.NEAREST).save(
                root / name / 'train' / f'{path.stem}.png'
            )


def timed(function, count: int, rounds: int) -> float:
    """Return the median images per second over rounds of ``function(i)`` for each image."""
    rates = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        for i in range(count):
            function(i)
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def main() -> None:
    """Print images per second of the whole pipeline and of decoding alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', type=Path, help='folder of JPEG photographs')
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(args.images, Path(folder))
        spec = Config.fromfile(CONFIG).train_dataloader.dataset
        dataset = MultiGranularDataset(folder, spec.data_prefix, pipeline=spec.pipeline)
        dataset.progress.set(seed=0, epoch=0, t=0.25)
        paths = [dataset.get_data_info(i)['rgb_path'] for i in range(len(dataset))]
        whole = timed(dataset.__getitem__, len(dataset), args.rounds)
        decode = timed(lambda i: read_rgb(paths[i]), len(paths), args.rounds)
    print(f'{len(paths)} photographs, one core, medians of {args.rounds} rounds')
    print(f'decoding the photograph alone: {decode:.0f} images/s')
    print(f'whole pipeline: {whole:.0f} images/s')


if __name__ == '__main__':
    main()
