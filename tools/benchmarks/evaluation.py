"""Time evaluation at scale on one core, part by part, by the processor's clock.

neighbours: k-NN over many features, beside its matrix products; extrapolated to ImageNet.
features:   a photograph to a prepared input, as bytes and as floats; what the process that receives
            it spends; the ViT's own pass.
robustness: stored ImageNet-C files; loader processes started for each cell and once for all.
made_here:  corruptions on the fly: five severities of one reading, and each of its own.
labelling:  what the processor does beside the three models; how full the detector's batches are.
operations: what HQ-SAM's image encoder computes, the largest part of labelling, counted.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.utils.dl_utils import set_multi_processing
from mmpretrain.registry import MODELS
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.functional import to_pil_image

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.checkpoints import Preprocessing
from mmc2fmae.env import collect
from mmc2fmae.evaluation.corruption_error import CORRUPTIONS, SEVERITIES
from mmc2fmae.evaluation.image_files import ImageFiles, find_images, stack_images
from mmc2fmae.evaluation.knn import knn_votes
from mmc2fmae.evaluation.robustness_batches import Batches, Passes, collate
from mmc2fmae.evaluation.robustness_data import LabelledImages
from mmc2fmae.evaluation.robustness_sets import Unit
from mmc2fmae.files import write_atomically
from mmc2fmae.labeling.detection import Detections
from mmc2fmae.labeling.labeller import MergeOptions, merge_instances
from mmc2fmae.labeling.photographs import Photograph, read_photograph
from mmc2fmae.parallel import be_a_worker
from mmc2fmae.preparation.layout import write_map

IMAGENET = (1_281_167, 50_000)
STORED = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
TESTED = [
    STORED[0],
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    *STORED[1:],
]
MIB = 2**20
Side = Callable[[], object]


def measure(sides: dict[str, Side], rounds: int) -> dict[str, list[float]]:
    """Return seconds of the processor of each side in each round, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            start = spent()
            side()
            if number:
                times[name].append(spent() - start)
    return times


def spent() -> float:
    """Return seconds of the processor of this process and of the ones that it has ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def each(function: Callable[[object], object], items: Iterable) -> Side:
    """Return a side that calls a function of every item."""
    return lambda: [function(item) for item in items]


def summary(times: dict[str, list[float]], items: int) -> dict[str, float]:
    """Return microseconds an item of each side."""
    return {f'us: {name}': statistics.median(v) / items * 1e6 for name, v in times.items()}


def ratio(times: dict[str, list[float]]) -> dict[str, float]:
    """Return how many times as long as the first side the second takes, round by round."""
    (name, ours), (other, theirs), *_ = times.items()
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {f'{other} / {name}': statistics.median(ratios)}


def neighbours(args: argparse.Namespace) -> dict[str, float]:
    """Time and memory of k-NN."""
    generator = torch.Generator().manual_seed(0)
    known, asked = (
        torch.randn(number, args.dims, generator=generator) for number in (args.bank, args.queries)
    )
    labels = torch.arange(args.bank) % 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    knn_votes(known, labels, asked, 1000)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 2**10 / MIB
    parts, query = normalize(known, dim=1).split(4096), normalize(asked, dim=1)
    sides = {
        'k-NN': lambda: knn_votes(known, labels, asked, 1000),
        'its products': each(lambda part: query @ part.T, parts),
    }
    times = measure(sides, args.rounds)
    seconds = statistics.median(times['k-NN'])
    larger = IMAGENET[0] * IMAGENET[1] / args.bank / args.queries
    return ratio(times) | {
        's': seconds,
        'GFLOP/s': 2 * args.bank * args.queries * args.dims / seconds / 1e9,
        'MiB beside the features': more,
        'ImageNet: hours of a core': seconds * larger / 3600,
        'ImageNet: MiB of features': sum(IMAGENET) * args.dims * 4 / MIB,
    }


def received(data: Dataset, collate_fn: Callable, finish: Callable, **batches) -> float:
    """Return microseconds that this process spends on an image which another one reads."""
    loader = DataLoader(
        data, num_workers=1, collate_fn=collate_fn, worker_init_fn=be_a_worker, **batches
    )
    found = iter(loader)
    finish(next(found))
    start, number = time.process_time(), 0
    for batch in found:
        finish(batch)
        number += 1
    return (time.process_time() - start) / max(number, 1) / batches.get('batch_size', 25) * 1e6


def features(args: argparse.Namespace) -> dict[str, float]:
    """Microseconds a photograph from file to features."""
    how, places = Preprocessing((224, 224)), range(args.count)
    prepared = {
        'bytes': (how.pixels(), stack_images, lambda batch: batch),
        'floats': (how.transform(), list, torch.stack),
    }
    files = {name: ImageFiles(args.paths, transform) for name, (transform, *_) in prepared.items()}
    files['read alone'] = ImageFiles(args.paths, lambda image: image)
    times = measure({name: each(one.read, places) for name, one in files.items()}, args.rounds)
    found = summary(times, args.count) | ratio(times)
    for name, (transform, *rest) in prepared.items():
        many = ImageFiles(args.paths * 4, transform)
        costs = [received(many, *rest, batch_size=25) for _ in range(args.rounds)]
        found[f'us: received as {name}'] = statistics.median(costs)
    vit = MODELS.build(dict(type='PlainViT', arch=args.arch, img_size=224, patch_size=16))
    vit.eval()
    with torch.inference_mode():
        images = torch.randn(8, 3, 224, 224)
        return found | summary(measure({'pass of the ViT': lambda: vit(images)}, 1), 8)


def robustness(args: argparse.Namespace) -> dict[str, float]:
    """Microseconds a stored image, and loaders for each cell or for all."""
    set_multi_processing()
    passes = [(Unit('set', ('fog', i), 0, args.count),) for i in range(args.cells)]
    with tempfile.TemporaryDirectory() as folder:
        cut = ImageFiles(args.paths, Preprocessing((224, 224)).pixels())
        names = [f'{i}.jpg' for i in range(args.count)]
        for i, name in enumerate(names):
            to_pil_image(cut.read(i)).save(Path(folder, name), quality=85)
        data = LabelledImages(folder, names, [0] * args.count, STORED)
        times = measure({'read': each(data.__getitem__, range(args.count))}, args.rounds)
        whole, batches = Passes(passes, [data] * args.cells), Batches(passes, 25)
        found = summary(times, args.count)
        for name, together in {'as a tensor': collate, 'as a tensor each': tensor_each}.items():
            costs = [
                received(whole, together, lambda batch: batch, batch_sampler=batches)
                for _ in range(args.rounds)
            ]
            found[f'us: received {name}'] = statistics.median(costs)
        sides = {
            'once': lambda: read_all([passes], data),
            'for each cell': lambda: read_all([[one] for one in passes], data),
        }
        once, often = measure(sides, args.rounds).values()
    start = statistics.median(b - a for a, b in zip(once, often, strict=True)) / (args.cells - 1)
    return found | {'ms: start of 2 loader processes': 1e3 * start, 's: 375 starts': 375 * start}


def tensor_each(batch: Sequence[list[dict]]) -> dict:
    """Put samples together with a tensor for each, as mmengine does by default."""
    return pseudo_collate([sample for image in batch for sample in image])


def read_all(loads: Sequence[list[tuple[Unit, ...]]], data: LabelledImages) -> None:
    """Read passes, with a loader for each of the loads."""
    for passes in loads:
        loader = DataLoader(
            Passes(passes, [data] * len(passes)),
            batch_sampler=Batches(passes, 25),
            num_workers=2,
            collate_fn=collate,
            worker_init_fn=be_a_worker,
        )
        for _ in loader:
            pass


def made_here(args: argparse.Namespace) -> dict[str, float]:
    """Microseconds a corrupted image."""
    names = [path.name for path in args.paths[:: max(len(args.paths) // 4, 1)][:4]]

    def side(groups: Sequence[Sequence[tuple[str, int] | None]]) -> Side:
        sets = [
            LabelledImages(args.images, names, [0] * len(names), TESTED, cells) for cells in groups
        ]
        return lambda: [data[i] for data in sets for i in range(len(names))]

    cells = [[(name, severity) for severity in SEVERITIES] for name in CORRUPTIONS]
    times = measure(
        {
            'a reading for 5': side(cells),
            'a reading for each': side([[cell] for own in cells for cell in own]),
            'reading alone': side([[None]] * 75),
        },
        args.rounds,
    )
    return summary(times, 75 * len(names)) | ratio(times)


def labelling(args: argparse.Namespace) -> dict[str, float]:
    """Microseconds a photograph beside the models, and how full the detector's batches are."""
    from transformers.image_transforms import get_size_with_aspect_ratio  # the extra 'labeling'

    photos = [read_photograph(path) for path in args.paths]
    merged = [merge(photo) for photo in photos]
    with tempfile.TemporaryDirectory() as folder:
        write = partial(write_map, f'{folder}/map.png')
        sides = {
            'read': each(read_photograph, args.paths),
            'merge 8 masks': each(merge, photos),
            'write 2 maps': each(lambda labels: (write(labels), write(labels)), merged),
        }
        found = summary(measure(sides, args.rounds), args.count)
    shapes = [photo.pixels.shape[:2] for photo in photos]
    sizes = [get_size_with_aspect_ratio(shape, 800, 1333) for shape in shapes]
    return found | {
        f'images in a batch of 8, {what}, parts of {part}': fullness(keys, part)
        for what, keys in (('one shape', shapes), ('one size at the input', sizes))
        for part in (128, 512)
    }


def operations(args: argparse.Namespace) -> dict[str, float]:
    """Operations of the default segmenter's encoder, from its shapes alone: no weights, no work."""
    from transformers import SamHQConfig, SamHQModel, SamHQVisionConfig

    huge = SamHQVisionConfig(
        hidden_size=1280,
        num_hidden_layers=32,
        num_attention_heads=16,
        global_attn_indexes=[7, 15, 23, 31],
        mlp_dim=5120,
    )
    with torch.device('meta'):
        model = SamHQModel(SamHQConfig(vision_config=huge)).eval()
        image = torch.empty(1, 3, 1024, 1024)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.get_image_embeddings(image)
    return {'TFLOP an image': counter.get_total_flops() / 1e12}


def merge(photo: Photograph) -> np.ndarray:
    """Merge eight overlapping discs as instances."""
    height, width = photo.pixels.shape[:2]
    masks = np.zeros((8, height, width), np.uint8)
    for i, mask in enumerate(masks):
        centre = (width * (1 + i % 4) // 5, height * (1 + i // 4) // 3)
        cv2.circle(mask, centre, min(height, width) // 5, 1, -1)
    boxes, scores = np.zeros((8, 4), np.float32), np.linspace(0.9, 0.5, 8, dtype=np.float32)
    found = Detections(boxes, scores, np.zeros(8, np.int64), 1)
    labels, _ = merge_instances(photo, found, ['disc'], masks.astype(bool), MergeOptions())
    return labels


def fullness(keys: Sequence[tuple[int, int]], part: int, size: int = 8) -> float:
    """Return the mean number of images in a batch, for parts drawn from these photographs."""
    rng = np.random.default_rng(0)
    batches = 0
    for _ in range(100):
        counts = Counter(keys[i] for i in rng.integers(0, len(keys), part))
        batches += sum(-(-count // size) for count in counts.values())
    return 100 * part / batches


PARTS = {
    part.__name__: part
    for part in (neighbours, features, robustness, made_here, labelling, operations)
}


def main() -> None:
    """Print the figures of all parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', type=Path, help='folder of JPEG photographs')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS), help='(all)')
    parser.add_argument('--rounds', type=int, default=3, help='(3)')
    parser.add_argument('--bank', type=int, default=100_000, help='features that vote (100000)')
    parser.add_argument('--queries', type=int, default=1000, help='(1000)')
    parser.add_argument('--dims', type=int, default=768, help='numbers of a feature (768)')
    parser.add_argument('--arch', default='base', help='ViT of the features (base)')
    parser.add_argument('--cells', type=int, default=8, help='of the loaders (8)')
    parser.add_argument('--json', type=Path, help='file for the figures')
    args = parser.parse_args()
    args.paths = find_images(args.images)
    args.count = len(args.paths)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = {}
    for name in args.parts:
        found[name] = PARTS[name](args)
        print(name)
        for what, value in found[name].items():
            print(f'  {what}: {value:,.3g}' if value < 100 else f'  {what}: {value:,.0f}')
    if args.json:
        result = dict(photographs=args.count, environment=collect(), **found)
        write_atomically(json.dumps(result, indent=1).encode(), args.json)


if __name__ == '__main__':
    main()
