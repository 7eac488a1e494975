"""Time the input pipeline on one core: JPEG and two label PNGs to a masked 224 x 224 sample.

From files and from a bundle, whose samples are the same.

Beside it: each step, decoding of the photographs alone, and with --multimae the pipeline of a
checkout of EPFL-VILAB/MultiMAE, which is not part of this project, on the same files. All sides
take turns, round by round; times are of the processor, ratios are taken round by round. With --dali
also the pipeline that leaves JPEGs to DALI, and how far DALI's photographs are from ours.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from PIL import Image

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.datasets.encoded import collate_encoded
from mmc2fmae.datasets.sample_io import read_rgb
from mmc2fmae.engine.dali import DaliDecoder
from mmc2fmae.env import collect
from mmc2fmae.files import write_atomically
from mmc2fmae.images.opening import open_image
from mmc2fmae.preparation.bundling import write_bundle
from mmc2fmae.preparation.folders import Layout
from mmc2fmae.preparation.layout import encode_map

CONFIG = Path(__file__).parents[2] / 'configs/pretrain/c2fmae_vitb_1600e.py'
BUNDLE = 'this project, from a bundle'
THEIRS = dict(rgb='rgb', instance='semseg', semantic='semseg_coco')  # names that MultiMAE knows
PREFIX = dict(rgb='multimae/rgb/all', instance='instance', semantic='semantic')
PROGRESS = 0.25  # all three strategies blend: masking costs most

Side = Callable[[int], object]


def write_dataset(images: Path, root: Path) -> None:
    """Link photographs and write blob-shaped maps beside them, as the tools of this project do."""
    rng = np.random.default_rng(0)
    for path in sorted(p for p in images.iterdir() if p.suffix.lower() in ('.jpg', '.jpeg')):
        with open_image(path) as image:
            size = image.size
        link(path, root, 'rgb', path.name)
        for name, top in (('instance', 6), ('semantic', 133)):
            coarse = Image.fromarray(rng.integers(0, top, (8, 8), dtype=np.uint8))
            labels = coarse.resize(size, Image.Resampling.NEAREST)
            made = root / f'{name}/{path.stem}.png'
            write_atomically(encode_map(np.asarray(labels)), made)
            link(made, root, name, made.name)


def link(path: Path, root: Path, granularity: str, name: str) -> None:
    """Link a file into the layout of MultiMAE, a folder of classes a granularity."""
    folder = root / 'multimae' / THEIRS[granularity] / 'all'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(path.resolve())


def our_dataset(root: Path) -> MultiGranularDataset:
    """Build the data set of the paper's config on the written one."""
    spec = Config.fromfile(CONFIG).train_dataloader.dataset
    dataset = MultiGranularDataset(str(root), dict(PREFIX), pipeline=spec.pipeline)
    dataset.progress.set(seed=0, epoch=0, t=PROGRESS)
    return dataset


def their_dataset(root: Path, checkout: Path) -> Side:
    """Build the data set of a checkout of MultiMAE, with its defaults."""
    stub = types.ModuleType('torch._six')
    stub.inf, stub.string_classes = float('inf'), (str,)
    sys.modules['torch._six'] = stub
    for name in ('pandas', 'wandb'):  # imported there, not used by the pipeline
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.path.insert(0, str(checkout))
    from utils import datasets

    options = argparse.Namespace(
        data_path=str(root / 'multimae'),
        all_domains=list(THEIRS.values()),
        input_size=224,
        hflip=0.5,
        imagenet_default_mean_and_std=True,
    )
    return datasets.build_multimae_pretraining_dataset(options).__getitem__


def decoders(paths: list[str]) -> dict[str, Side]:
    """Return what decodes photograph i, from memory, by the name of the library."""
    files = [Path(path).read_bytes() for path in paths]
    arrays = [np.frombuffer(data, np.uint8) for data in files]
    found: dict[str, Side] = {
        'Pillow, file included': lambda i: read_rgb(paths[i]),
        'OpenCV': lambda i: cv2.imdecode(arrays[i], cv2.IMREAD_COLOR),
    }
    try:
        import simplejpeg
    except ImportError:  # not needed here, and not installed with this project
        return found
    return found | {'simplejpeg': lambda i: simplejpeg.decode_jpeg(files[i])}


def with_dali(dataset: MultiGranularDataset, encoded: MultiGranularDataset) -> tuple[Side, dict]:
    """Return what decodes all photographs at once as if for the first, how fast, and how near ours.

    Args:
        dataset: As ever.
        encoded: The same, whose photographs stay encoded.
    """
    batch = collate_encoded(default_collate, list(encoded))
    size = batch['inputs']['rgb'][0].shape[-1]
    decoder = DaliDecoder(len(encoded), size)
    apart: list[np.ndarray] = []
    for epoch in range(5):
        for part in (dataset, encoded):
            part.progress.set(seed=0, epoch=epoch, t=PROGRESS)
        found = next(decoder.finish([collate_encoded(default_collate, list(encoded))]))
        pairs = zip(found['inputs']['rgb'].cpu(), dataset, strict=True)
        apart += [abs(a.int() - b['inputs']['rgb'].int()).numpy().ravel() for a, b in pairs]
    values = np.concatenate(apart)
    near: dict[str, float] = dict(
        equal=float((values == 0).mean()),
        within_1=float((values <= 1).mean()),
        most=int(values.max()),
        within_1_in_the_worst=min(float((part <= 1).mean()) for part in apart),
    )
    start = time.perf_counter()
    for done in decoder.finish([batch] * 5):
        done['inputs']['rgb'].cpu()
    near['images_a_second'] = 5 * len(encoded) / (time.perf_counter() - start)
    return lambda i: None if i else next(decoder.finish([batch]))['inputs']['rgb'].cpu(), near


def steps_of(dataset: MultiGranularDataset) -> dict[str, float]:
    """Run all samples once; return microseconds a sample of each step."""
    spent = dict.fromkeys(('paths', *(type(t).__name__ for t in dataset.pipeline.transforms)), 0.0)
    for i in range(len(dataset)):
        start = time.process_time()
        sample = dataset.get_data_info(i)
        spent['paths'] += time.process_time() - start
        for transform in dataset.pipeline.transforms:
            start = time.process_time()
            sample = transform(sample)
            spent[type(transform).__name__] += time.process_time() - start
    return {name: seconds / len(dataset) * 1e6 for name, seconds in spent.items()}


def measure(sides: dict[str, Side], count: int, rounds: int) -> dict[str, list[float]]:
    """Return microseconds an image of each side in each round, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            start = time.process_time()
            for i in range(count):
                side(i)
            if number:
                times[name].append((time.process_time() - start) / count * 1e6)
    return times


def ratio(ours: list[float], others: list[float]) -> dict[str, float]:
    """Return how many times as many images a second ours is, round by round."""
    values = [b / a for a, b in zip(ours, others, strict=True)]
    return dict(median=statistics.median(values), least=min(values), most=max(values))


def report(images: Path, rounds: int, multimae: Path | None, dali: bool = False) -> dict:
    """Measure all sides; return the figures and what is needed to trust them."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(images, Path(folder))
        dataset = our_dataset(Path(folder))
        paths = [dataset.get_data_info(i)['rgb_path'] for i in range(len(dataset))]
        decoding = decoders(paths)
        bundle = Path(folder, 'bundle')
        write_bundle(Layout(folder, PREFIX), bundle, quiet=True)
        sides: dict[str, Side] = {
            'this project': dataset.__getitem__,
            BUNDLE: our_dataset(bundle).__getitem__,
            **decoding,
        }
        near = None
        if dali:
            encoded = our_dataset(Path(folder))
            encoded.pipeline.transforms[0].encoded = True
            sides['DALI for the photographs alone'], near = with_dali(dataset, encoded)
            sides['this project, JPEGs left to DALI'] = encoded.__getitem__
            for part in (dataset, encoded):
                part.progress.set(seed=0, epoch=0, t=PROGRESS)
        if multimae:
            sides['MultiMAE'] = their_dataset(Path(folder), multimae)
        times = measure(sides, len(paths), rounds)
        steps = [steps_of(dataset) for _ in range(rounds)]
    fastest = min(decoding, key=lambda name: statistics.median(times[name]))
    against = [fastest, *(name for name in sides if 'DALI' in name or name == 'MultiMAE')]
    return dict(
        photographs=len(paths),
        rounds=rounds,
        progress=PROGRESS,
        us_an_image={name: statistics.median(values) for name, values in times.items()},
        dali=near,
        us_a_step={name: statistics.median(s[name] for s in steps) for name in steps[0]},
        ratios={name: ratio(times['this project'], times[name]) for name in against},
        ratios_of_the_bundle={
            name: ratio(times[BUNDLE], times[name]) for name in ('this project', *against)
        },
        environment=collect(),
    )


def main() -> None:
    """Print images a second of all sides, microseconds of each step, and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', type=Path, help='folder of JPEG photographs')
    parser.add_argument('--rounds', type=int, default=7, help='(7)')
    parser.add_argument('--multimae', type=Path, help='checkout of EPFL-VILAB/MultiMAE')
    parser.add_argument('--dali', action='store_true', help='DALI beside it, which is installed')
    parser.add_argument('--json', type=Path, help='file for the figures')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = report(args.images, args.rounds, args.multimae, args.dali)
    print(f'{found["photographs"]} photographs, processor time, medians of {args.rounds} rounds')
    for name, spent in found['us_an_image'].items():
        print(f'{name}: {1e6 / spent:.0f} images/s ({spent:.0f} us)')
    for name, spent in found['us_a_step'].items():
        print(f'  {name}: {spent:.0f} us')
    for side, key in (('this project', 'ratios'), (BUNDLE, 'ratios_of_the_bundle')):
        for name, values in found[key].items():
            print(
                f'{side} / {name}: {values["median"]:.2f} '
                f'({values["least"]:.2f} to {values["most"]:.2f})'
            )
    if found['dali']:
        print(f'DALI, its values against ours: {found["dali"]}')
    if args.json:
        write_atomically(json.dumps(found, indent=1).encode(), args.json)


if __name__ == '__main__':
    main()
