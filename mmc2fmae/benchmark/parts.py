"""The parts of the acceptance benchmark: each measures one thing and returns rows of a table."""

import math
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmc2fmae.benchmark import public, timing
from mmc2fmae.benchmark.batches import fine_tuning_batch, pretraining_batch
from mmc2fmae.benchmark.scales import Scale
from mmc2fmae.benchmark.steps import TrainingStep, build_model, pinned, read_config

Row = dict[str, Any]


class Disagreement(ValueError):
    """Two ways to compute the same number differ by more than rounding; ``rows`` has them all."""

    def __init__(self, text: str, rows: list[Row]) -> None:
        super().__init__(text)
        self.rows = rows


@dataclass
class Bench:
    """What the parts share.

    Attributes:
        scale: Sizes of everything.
        device: Where it runs.
        checkouts: Folders of public code by name, 'mae' and 'multimae'.
        say: Shows a line of progress.
        peak: TFLOP/s of a large matrix product on the device; :func:`peak` fills it in.
    """

    scale: Scale
    device: torch.device
    checkouts: Mapping[str, Path]
    say: Callable[[str], None]
    peak: float = math.nan

    @property
    def precision(self) -> str:
        """Return 'bf16' for a GPU, 'fp32' elsewhere."""
        return 'bf16' if self.device.type == 'cuda' else 'fp32'

    def timed(self, sides: Mapping[str, timing.Step]) -> dict[str, list[float]]:
        """Time sides in turns."""
        scale = self.scale
        return timing.alternate(sides, self.device, scale.warm_up, scale.steps, scale.rounds)

    def speed(self, seconds: float, images: int, operations: int | None = None) -> Row:
        """Return the columns that say how fast a step was."""
        row: Row = {'ms a step': 1000 * seconds, 'images/s': images / seconds}
        if operations is not None:
            rate = operations / seconds / 1e12
            row |= {'TFLOP/s': rate, '% of peak': 100 * rate / self.peak}
        return row


def peak(bench: Bench) -> list[Row]:
    """What the device reaches: a large matrix product, and a copy (bytes read and written)."""
    side, device = bench.scale.matrix, bench.device
    dtype = torch.bfloat16 if bench.precision == 'bf16' else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = statistics.median(bench.timed({'product': lambda: a @ b})['product'])
    source = torch.empty(8 * side * side, device=device, dtype=torch.float32)
    target = torch.empty_like(source)
    copy = statistics.median(bench.timed({'copy': lambda: target.copy_(source)})['copy'])
    bench.peak = 2 * side**3 / product / 1e12
    return [
        {'what': f'{side} x {side} product, {dtype}', 'value': f'{bench.peak:.4g} TFLOP/s'},
        {'what': 'copy', 'value': f'{2 * source.nbytes / copy / 1e9:.4g} GB/s'},
    ]


def agreement(bench: Bench) -> list[Row]:
    """Loss and gradient of one batch, the same weights: every way to compute them against fp32 on
    the CPU."""
    scale, cpu = bench.scale, torch.device('cpu')
    cfg = read_config(f'mmc2fmae::{scale.agreement}')
    batch = pretraining_batch(cfg, 16)
    weights = build_model(cfg, cpu).state_dict()
    bounds = dict(fp32=1e-4, bf16=3e-2)
    expected = _loss_and_gradient(cfg, weights, batch, cpu, 'fp32')
    rows: list[Row] = []
    for precision, bound in bounds.items():
        for compile in (False, dict(scale.compile)):
            tried = read_config(f'mmc2fmae::{scale.agreement}', compile)
            found = _loss_and_gradient(tried, weights, batch, bench.device, precision)
            apart = [abs(a / b - 1) for a, b in zip(found, expected, strict=True)]
            name = f'{precision}, {"compiled" if compile else "eager"}'
            rows.append(
                {'what': name, 'loss': found[0], 'loss apart': apart[0], 'gradient norm': found[1]}
                | {'gradient apart': apart[1], 'bound': bound}
            )
            torch.compiler.reset()
    rows.insert(0, {'what': 'fp32, CPU', 'loss': expected[0], 'gradient norm': expected[1]})
    wrong = [
        r['what'] for r in rows[1:] if not max(r['loss apart'], r['gradient apart']) < r['bound']
    ]
    if wrong:
        raise Disagreement(f'{", ".join(wrong)}: further from fp32 on the CPU than the bound', rows)
    return rows


def _loss_and_gradient(
    cfg: Config, weights: Mapping[str, Tensor], batch: Row, device: torch.device, precision: str
) -> tuple[float, float]:
    model = build_model(cfg, device)
    model.load_state_dict(weights)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    loss = sum(losses.values())
    loss.backward()
    norms = [p.grad.double().norm() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.stack(norms).norm().item()


def pretraining(bench: Bench) -> list[Row]:
    """Pre-training steps (forward, backward, AdamW; images come from the host as bytes)."""
    rows = []
    for name, config in bench.scale.pretraining.items():
        cfg = read_config(f'mmc2fmae::{config}')
        timing.free_memory(bench.device)
        step = TrainingStep(cfg, bench.device, bench.precision)
        for number in bench.scale.batches:
            row: Row = {'what': name, 'batch': number}
            try:
                batch = pinned(pretraining_batch(cfg, number), bench.device)
                row |= _timed_step(bench, partial(step, batch), number, count=True)
            except torch.OutOfMemoryError:
                row['ms a step'] = 'memory ends'
            rows.append(row)
            bench.say(str(row))
            if 'images/s' not in row:
                break
    return rows


def _timed_step(bench: Bench, step: timing.Step, images: int, count: bool = False) -> Row:
    counted = timing.operations(step) if count else None
    timing.free_memory(bench.device)
    (seconds,) = bench.timed({'': step}).values()
    row = bench.speed(statistics.median(seconds), images, counted)
    return row | timing.peak_memory(bench.device)


def comparison(bench: Bench) -> list[Row]:
    """Pre-training steps in turns: ours, ours compiled, MAE and MultiMAE, and the public code."""
    scale, device = bench.scale, bench.device
    first, *others = scale.pretraining.items()
    sides: dict[str, timing.Step] = {}
    counted: dict[str, int] = {}
    timing.free_memory(device)

    def add(name: str, step: Callable[[Row], object], batch: Row, count: bool = True) -> None:
        sides[name] = partial(step, batch)
        if count:
            counted[name] = timing.operations(sides[name])
        bench.say(f'{name} is built')

    cfg = read_config(f'mmc2fmae::{first[1]}')
    batch = pinned(pretraining_batch(cfg, scale.batch), device)
    add(first[0], TrainingStep(cfg, device, bench.precision), batch)
    compiled = read_config(f'mmc2fmae::{first[1]}', dict(scale.compile))
    add(f'{first[0]}, compiled', TrainingStep(compiled, device, bench.precision), batch, False)
    for name, config in others:
        other = read_config(f'mmc2fmae::{config}')
        drawn = pinned(pretraining_batch(other, scale.batch), device)
        add(name, TrainingStep(other, device, bench.precision), drawn)
    for name, built in _public(bench, cfg):
        add(f'public {name}', public.training_step(*built, device, bench.precision), batch)
    times = bench.timed(sides)
    rows = []
    for name, seconds in times.items():
        middle, low, high = timing.ratio(times[first[0]], seconds)
        operations = counted.get(name, counted[first[0]])
        rows.append(
            {'what': name, 'batch': scale.batch}
            | bench.speed(statistics.median(seconds), scale.batch, operations)
            | {f'{first[0]} takes': f'{middle:.3f} of it ({low:.3f} to {high:.3f})'}
        )
    torch.compiler.reset()
    return rows


def _public(bench: Bench, cfg: Config) -> Iterator[tuple[str, tuple[nn.Module, public.Loss]]]:
    specs = cfg.model.backbone.granularities
    classes = {name: spec.num_classes for name, spec in specs.items()}
    if checkout := bench.checkouts.get('multimae'):
        yield 'MultiMAE', public.multimae(checkout, bench.device, classes, visible=98)
    if checkout := bench.checkouts.get('mae'):
        yield 'MAE', public.mae(checkout, bench.device)


def fine_tuning(bench: Bench) -> list[Row]:
    """Fine-tuning steps of the shipped recipes."""
    rows = []
    for name, task in bench.scale.fine_tuning.items():
        cfg = read_config(f'mmc2fmae::{task.config}')
        step = TrainingStep(cfg, bench.device, bench.precision)
        batch = pinned(fine_tuning_batch(cfg, task.batch, task.size), bench.device)
        height, width = task.size
        row: Row = {'what': name, 'batch': task.batch, 'size': f'{height} x {width}'}
        rows.append(row | _timed_step(bench, partial(step, batch), task.batch))
        bench.say(str(rows[-1]))
    return rows


def distributed(bench: Bench) -> list[Row]:
    """One process joined by nccl (gloo on a CPU): loss of a step, and what the wrapper costs."""
    from mmengine.model import MMDistributedDataParallel

    scale, device = bench.scale, bench.device
    config = next(iter(scale.pretraining.values()))
    cfg = read_config(f'mmc2fmae::{config}')
    batch = pinned(pretraining_batch(cfg, scale.batch), device)
    backend = 'nccl' if device.type == 'cuda' else 'gloo'
    alone = TrainingStep(cfg, device, bench.precision)
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            backend, init_method=f'file://{folder}/store', rank=0, world_size=1
        )
        try:
            joined = TrainingStep(cfg, device, bench.precision)
            joined.model.load_state_dict(alone.model.state_dict())
            losses = {}
            ids = [0] if device.type == 'cuda' else None
            joined.model = MMDistributedDataParallel(joined.model, device_ids=ids)
            for name, step in (('alone', alone), (backend, joined)):
                losses[name] = step(batch)['loss'].item()
            times = bench.timed({'alone': partial(alone, batch), backend: partial(joined, batch)})
        finally:
            torch.distributed.destroy_process_group()
    rows = [
        {'what': name, 'loss of the first step': losses[name]}
        | bench.speed(statistics.median(seconds), scale.batch)
        for name, seconds in times.items()
    ]
    if not math.isclose(*losses.values(), rel_tol=1e-3):
        raise Disagreement(f'the losses differ: {losses}', rows)
    return rows


def features(bench: Bench) -> list[Row]:
    """Features of images in memory: fp32, and float16 as `--half` computes and stores them."""
    from mmpretrain.registry import MODELS
    from PIL import Image

    from mmc2fmae.checkpoints import Preprocessing
    from mmc2fmae.evaluation.features import FeatureOptions, compute_features

    torch.manual_seed(0)
    vit = MODELS.build(dict(type='PlainViT', arch=bench.scale.arch, img_size=224, patch_size=16))
    vit.init_weights()
    preprocessing = Preprocessing(size=(224, 224))
    noise = torch.randint(0, 256, (64, 224, 224, 3), dtype=torch.uint8).numpy()
    images = [Image.fromarray(noise[i % 64]) for i in range(bench.scale.images)]
    rows, kept = [], {}
    for half in (False, True) if bench.device.type == 'cuda' else (False,):
        options = FeatureOptions(
            tokens=('mean',),
            batch_size=256,
            workers=min(os.cpu_count() or 1, 16) if bench.device.type == 'cuda' else 0,
            device=str(bench.device),
            half=half,
        )
        found: dict[str, Tensor] = {}

        def once(options=options, found=found) -> None:
            found.update(compute_features(vit, preprocessing, images, options))

        seconds = timing.seconds_of(once, bench.device, 1)
        (kept[half],) = found.values()
        rows.append(
            {'what': 'float16' if half else 'fp32', 'images': len(images)}
            | {'images/s, with preparing them': len(images) / seconds}
        )
    if True in kept:
        alike = torch.cosine_similarity(kept[True].float(), kept[False].float(), dim=1)
        rows[-1]['least cosine to fp32'] = float(alike.min())
        if not alike.min() > 0.999:
            raise Disagreement('float16 features are far from those in fp32', rows)
    return rows


def neighbours(bench: Bench) -> list[Row]:
    """k-NN evaluation: votes of the 20 nearest of all training features for every query."""
    from mmc2fmae.evaluation.knn import knn_votes

    number, queries = bench.scale.neighbours
    timing.free_memory(bench.device)
    generator = torch.Generator(bench.device).manual_seed(0)
    known, asked = (
        torch.randn(n, bench.scale.dims, device=bench.device, generator=generator)
        for n in (number, queries)
    )
    classes = min(1000, number)
    labels = torch.arange(number, device=bench.device) % classes
    seconds = timing.seconds_of(lambda: knn_votes(known, labels, asked, classes), bench.device, 1)
    return [
        {'features': number, 'queries': queries, 'dims': bench.scale.dims, 's': seconds}
        | timing.peak_memory(bench.device)
    ]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    'peak': peak,
    'agreement': agreement,
    'pretraining': pretraining,
    'comparison': comparison,
    'fine_tuning': fine_tuning,
    'distributed': distributed,
    'features': features,
    'neighbours': neighbours,
}
