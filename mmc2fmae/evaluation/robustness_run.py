"""Evaluate a classifier on robustness sets, with any number of processes and interruptions."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import barrier, broadcast_object_list, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmpretrain.apis import get_model
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmc2fmae.checkpoints import read_meta
from mmc2fmae.checkpoints.files import read_file
from mmc2fmae.checkpoints.loading import coverage, require_full
from mmc2fmae.devices import find_device
from mmc2fmae.engine.halving import Halving
from mmc2fmae.evaluation.class_subsets import Listing, resolve_classes
from mmc2fmae.evaluation.result_store import Counts, ResultStore
from mmc2fmae.evaluation.robustness_batches import Batches, Pass, Passes, collate, passes_of
from mmc2fmae.evaluation.robustness_data import LabelledImages
from mmc2fmae.evaluation.robustness_sets import (
    Cell,
    RobustnessSet,
    Unit,
    check_set,
    pick,
    read_sets,
    units_of,
)
from mmc2fmae.files import file_sha256
from mmc2fmae.parallel import be_a_worker, progress_bar


@dataclass(frozen=True)
class Options:
    """How to run; of it ``limit``, ``precision`` and ``weights`` change what is measured.

    Attributes:
        device: Device of this process.
        batch_size: Images at a time.
        workers: Loader processes.
        limit: Images of each cell, for a smoke run; None takes all.
        precision: 'float32', 'bfloat16' or 'float16' (autocast).
        weights: 'ema' or 'raw', of a checkpoint with both; None takes those of its tests.
    """

    device: torch.device
    batch_size: int = 128
    workers: int = 4
    limit: int | None = None
    precision: str = 'float32'
    weights: str | None = None


@dataclass(frozen=True)
class PlannedSet:
    """One set ready to be evaluated.

    Attributes:
        spec: The set.
        listing: Its images, after ``limit``.
        store: Where its counts are.
        sha256: Hash of the checkpoint.
    """

    spec: RobustnessSet
    listing: Listing
    store: ResultStore
    sha256: str

    @property
    def units(self) -> list[Unit]:
        """All units of the set."""
        return list(units_of(self.spec, self.listing))

    def images(self, units: Pass) -> LabelledImages:
        """Return the images of some units, which read the same files."""
        return self.spec.dataset(self.listing, [unit.cell for unit in units])

    def counts(self) -> dict[Cell, Counts]:
        """Add up the stored counts, cell by cell.

        Raises:
            RuntimeError: Units are missing, because another process ended early.
        """
        cells: dict[Cell, Counts] = {}
        for unit in self.units:
            counts = self.store.read(unit.name)
            if counts is None:
                raise RuntimeError(
                    f'{unit.set}: {unit.name} has no result; start the same command again, what is '
                    'done is kept'
                )
            cells[unit.cell] = cells.get(unit.cell, Counts(0, 0, 0)) + counts
        return cells


def start_processes(device: str | None) -> torch.device:
    """Join the processes that torchrun started, if it did, and choose this one's device.

    Args:
        device: Device asked for; None takes a GPU of its own for each process, or the CPU.

    Raises:
        ValueError: This machine does not have it.
    """
    if int(os.environ.get('WORLD_SIZE', 1)) > 1:
        # Only names and "done" travel between processes; one may finish hours before another.
        torch.distributed.init_process_group('gloo', timeout=timedelta(days=7))
    return find_device(device)


def load_classifier(
    config: Config, checkpoint: str | Path, device: torch.device, which: str | None = None
) -> BaseModel:
    """Build the model of a config and fill all of it from a checkpoint.

    Args:
        config: Config of a classifier.
        checkpoint: Its weights.
        device: Where the model goes.
        which: 'ema' or 'raw', of a checkpoint with both.

    Raises:
        CheckpointMismatch: The checkpoint does not fill the model.
    """
    parts = {k: config[k] for k in ('model', 'data_preprocessor') if k in config}
    model = get_model(Config(parts))
    weights = read_file(checkpoint, which).weights
    require_full(coverage(weights, model), 'model', str(checkpoint))
    model.load_state_dict(weights, strict=False)
    return model.to(device).eval()


def trained_classes(checkpoint: Path) -> list[str] | None:
    """Return the class names that mmengine kept with the weights, None where it did not."""
    classes = read_meta(checkpoint).classes
    return list(classes) if classes else None


def check_classes(declared: str | list[str] | None, trained: list[str] | None) -> list[str]:
    """Return the folder names of the model's outputs.

    Args:
        declared: ``robustness.classes``; None takes ``trained``.
        trained: Classes in the checkpoint. mmpretrain's own ImageNet data set keeps words there,
            not folder names, which say nothing about the order.

    Raises:
        ValueError: Neither is known, or they are the same names in another order.
    """
    if declared is None:
        if trained is None:
            raise ValueError(
                'the checkpoint does not say its classes: set robustness.classes to their folder '
                "names in the order of the model's outputs, or to 'imagenet'"
            )
        return trained
    classes = resolve_classes(declared)
    if trained and set(trained) == set(classes) and trained != classes:
        first = next(i for i, (a, b) in enumerate(zip(trained, classes, strict=True)) if a != b)
        raise ValueError(
            f'robustness.classes is not in the order of the checkpoint: output {first} is '
            f'{trained[first]!r}, not {classes[first]!r}; leave the field out to take its order'
        )
    return classes


def plan_sets(
    config: Config, checkpoint: Path, data_root: Path, out: Path, only: list[str], options: Options
) -> list[PlannedSet]:
    """Check config and data, and lay out the work; nothing is evaluated.

    Args:
        config: Classifier with a field ``robustness``, see :func:`read_sets`.
        checkpoint: Fine-tuned weights.
        data_root: What the folders of the sets are relative to.
        out: Folder of results; the cache is in ``out/cells``.
        only: Names of the sets to take, all of them if empty.
        options: How to run.

    Raises:
        FileNotFoundError: Data are missing.
        ValueError: Config or data are wrong.
    """
    default = config.get('test_dataloader', {}).get('dataset', {}).get('pipeline')
    declared = config.robustness
    declared.classes = check_classes(declared.get('classes'), trained_classes(checkpoint))
    sets = read_sets(declared, default, data_root, only)
    sha256, planned = file_sha256(checkpoint), []
    for spec in sets:
        listing = pick(pick(check_set(spec), spec.sample), options.limit)
        settings = dict(
            checkpoint=sha256,
            model=config.model.to_dict(),
            data_preprocessor=config.get('data_preprocessor'),
            precision=options.precision,
            protocol=spec.protocol,
            source=spec.source,
            folder=spec.folder.name,
            files=listing.digest(),
            limit=options.limit,
            classes=spec.classes,
            subset=spec.subset,
            pipeline=spec.pipeline,
            **({} if options.weights is None else dict(weights=options.weights)),
        )
        store = ResultStore(out / 'cells', spec.name, settings)
        store.describe()
        planned.append(PlannedSet(spec, listing, store, sha256))
    return planned


def check_forward(planned: list[PlannedSet], model: nn.Module, options: Options) -> None:
    """Send the first image of every set through pipeline and model.

    Raises:
        ValueError: The model does not have one output a class, or its outputs are not finite.
        RuntimeError: An image cannot be read or prepared.
    """
    firsts: list[Pass] = [(Unit(p.spec.name, p.spec.cells[0], 0, 1),) for p in planned]
    images = [one.images(first) for one, first in zip(planned, firsts, strict=True)]
    found = _logits(model, Passes(firsts, images), replace(options, workers=0))
    for one, (logits, _) in zip(planned, found, strict=True):
        if logits.shape[1] != len(one.spec.classes):
            raise ValueError(
                f'the model has {logits.shape[1]} outputs, robustness.classes names '
                f'{len(one.spec.classes)}: set it to the folder names of the classes that the '
                'model was trained with, in the order of its outputs'
            )


def run_units(planned: list[PlannedSet], model: nn.Module, options: Options) -> None:
    """Evaluate what is not stored yet; every process takes its share of the units.

    Args:
        planned: The sets, the same in all processes.
        model: Classifier; its forward pass gives logits.
        options: How to run.
    """
    sets = {one.spec.name: one for one in planned}
    # One process looks, so that all share out the same list even while results come in.
    todo = [[u for p in planned for u in p.units if p.store.read(u.name) is None]]
    broadcast_object_list(todo)
    done = sum(len(p.units) for p in planned) - len(todo[0])
    if get_rank() == 0:
        print_log(
            f'{len(todo[0])} units to evaluate, {done} already in the cache; the bar is of the '
            f'first of {get_world_size()} processes'
        )
    passes = passes_of(todo[0], {name: one.spec for name, one in sets.items()})
    mine = passes[get_rank() :: get_world_size()]
    images = [sets[units[0].set].images(units) for units in mine]
    found = _logits(model, Passes(mine, images), options)
    batches = Batches(mine, options.batch_size)
    total = sum(unit.stop - unit.start for units in mine for unit in units)
    with progress_bar(total, 'image') as bar:
        for units in mine:
            bar.set_description(f'{units[0].set} {units[0].name}', refresh=False)
            one = sets[units[0].set]
            counts = [Counts(0, 0, 0) for _ in units]
            for _ in batches.starts(units):
                logits, labels = next(found)
                for i in range(len(units)):  # the samples of an image follow each other
                    own = slice(i, None, len(units))
                    counts[i] += count(logits[own], labels[own], one.spec)
                bar.update(len(labels))
            for unit, counted in zip(units, counts, strict=True):
                one.store.write(unit.name, counted)
    barrier()


def count(logits: Tensor, labels: Tensor, spec: RobustnessSet) -> Counts:
    """Count right predictions among the classes of a set and among all.

    Args:
        logits: (B, classes) outputs of the model.
        labels: (B,) class indices.
        spec: The set.
    """
    everywhere = right = logits.argmax(1) == labels
    if (places := spec.places) is not None:
        right = places[logits[:, places].argmax(1)] == labels
    return Counts(int(right.sum()), int(everywhere.sum()), len(labels))


@torch.no_grad()
def _logits(model: BaseModel, data: Passes, options: Options) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (B, classes) float logits and (B,) labels, both on the CPU, batch by batch."""
    loader = DataLoader(
        data,
        batch_sampler=Batches(data.passes, options.batch_size),
        # A few images are done before loader processes have started.
        num_workers=min(options.workers, len(data) // options.batch_size),
        collate_fn=collate,
        pin_memory=options.device.type == 'cuda',
        worker_init_fn=be_a_worker,
    )
    autocast: AbstractContextManager[object] = nullcontext()
    if options.precision != 'float32':
        autocast = torch.autocast(options.device.type, getattr(torch, options.precision))
    predict = Halving(model)
    for batch in loader:
        labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
        inputs = model.data_preprocessor(batch)['inputs']
        with autocast:
            logits = predict(inputs)
        if not torch.isfinite(logits).all():
            raise ValueError(
                f'outputs are not finite for images like {batch["data_samples"][0].img_path}: '
                f'the precision is {options.precision}, try float32; otherwise the weights are bad'
            )
        yield logits.float().cpu(), labels
