"""What a robustness config declares, and what is checked before any of it is evaluated."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from mmc2fmae.evaluation.class_subsets import Listing, list_images, resolve_classes
from mmc2fmae.evaluation.corruption_error import CORRUPTIONS, SEVERITIES
from mmc2fmae.evaluation.robustness_data import LabelledImages, require_library

KINDS = ('folder', 'corruptions', 'on_the_fly')

Cell = tuple[str, int] | None
"""Corruption and severity, None for a plain folder."""

CHUNK = 10_000
"""Images of a unit of work. Fixed, so that results fit together whatever ran them."""


@dataclass(frozen=True)
class RobustnessSet:
    """One set of a robustness config.

    Attributes:
        name: Name in the table.
        kind: 'folder' (``folder/class/file``, top-1 accuracy), 'corruptions'
            (``folder/corruption/severity/class/file``, 15 x 5 errors) or 'on_the_fly'
            (``folder/class/file``, corrupted by a library in the same 15 x 5 ways).
        protocol: Name and version, such as ``in-a@1``; another version is another result.
        folder: Where the images are.
        classes: Folder names in the order of the model's outputs.
        pipeline: Transforms, from loading to packing.
        subset: Classes that the set has, if fewer: the score is then over these alone, and the one
            over all classes is reported beside it.
        images: Number of images (of each of the 75 cells), where the protocol fixes it.
        sample: Number of them to evaluate, evenly spaced over the classes; None takes all.
        alexnet: Whether mCE, relative to AlexNet's errors on ImageNet-C, is reported.
    """

    name: str
    kind: str
    protocol: str
    folder: Path
    classes: list[str] = field(repr=False)
    pipeline: list[dict] = field(repr=False)
    subset: list[str] | None = field(default=None, repr=False)
    images: int | None = None
    sample: int | None = None
    alexnet: bool = False

    @property
    def source(self) -> str:
        """Where the images come from, as every output says it."""
        if self.kind == 'on_the_fly':
            return f'on-the-fly ({require_library()}), not the official ImageNet-C'
        return 'files'

    @property
    def cells(self) -> list[Cell]:
        """The corruptions and severities; a plain folder is one cell without."""
        if self.kind == 'folder':
            return [None]
        return [(corruption, severity) for corruption in CORRUPTIONS for severity in SEVERITIES]

    def folder_of(self, cell: Cell) -> Path:
        """Return the folder that holds the class folders of a cell."""
        if cell is None or self.kind != 'corruptions':
            return self.folder
        return self.folder / cell[0] / str(cell[1])

    @cached_property
    def places(self) -> torch.Tensor | None:
        """Outputs of the model that stand for the classes of the subset, if there is one."""
        if self.subset is None:
            return None
        place = {name: i for i, name in enumerate(self.classes)}
        return torch.tensor([place[name] for name in self.subset])

    def dataset(self, listing: Listing, cells: Sequence[Cell]) -> LabelledImages:
        """Return the images of the set in some cells: of one folder, or made from it here."""
        made_here = self.kind == 'on_the_fly'
        return LabelledImages(
            self.folder_of(cells[0]),
            listing.names,
            listing.labels,
            self.pipeline,
            cells if made_here else (None,),
        )


class Unit(NamedTuple):
    """A part of one cell: what a process evaluates at a time.

    Args:
        set: Name of the set.
        cell: Corruption and severity, None for a plain folder.
        start: First image.
        stop: One past the last.
    """

    set: str
    cell: Cell
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of the unit within its set, fit for a file."""
        cell = 'all' if self.cell is None else f'{self.cell[0]}-{self.cell[1]}'
        return f'{cell}.{self.start}-{self.stop}'


def read_sets(
    config: Mapping,
    default_pipeline: Sequence[dict] | None,
    data_root: str | Path,
    only: Sequence[str] = (),
) -> list[RobustnessSet]:
    """Read the field ``robustness`` of a config.

    Args:
        config: ``classes`` (see :func:`resolve_classes`) and ``sets``: name to the fields of
            :class:`RobustnessSet`.
        default_pipeline: For sets that declare none: that of the model's test data.
        data_root: What the folders are relative to.
        only: Names of the sets to take, all of them if empty.

    Raises:
        ValueError: A field is wrong or missing; the message names set and field.
    """
    unknown = sorted(set(only) - set(config['sets']))
    if unknown:
        raise ValueError(f'--only {" ".join(unknown)}: the config has {list(config["sets"])}')
    everything = resolve_classes(config['classes'])
    return [
        _read_set(name, dict(spec), everything, default_pipeline, Path(data_root))
        for name, spec in config['sets'].items()
        if not only or name in only
    ]


def _read_set(
    name: str, spec: dict, classes: list[str], default_pipeline: Sequence[dict] | None, root: Path
) -> RobustnessSet:
    where = f'robustness.sets[{name!r}]'
    known = {f.name for f in fields(RobustnessSet)} - {'name', 'classes'}
    wrong = sorted(set(spec) - known)
    lacking = sorted({'kind', 'protocol', 'folder'} - set(spec))
    if wrong or lacking:
        raise ValueError(f'{where}: fields {wrong} are not known, {lacking} are missing')
    if spec['kind'] not in KINDS:
        raise ValueError(f'{where}: kind is {spec["kind"]!r}, expected one of {KINDS}')
    if not re.fullmatch(r'[a-z0-9-]+@[0-9]+', spec['protocol']):
        raise ValueError(f'{where}: protocol is {spec["protocol"]!r}, expected one like in-a@1')
    pipeline = [dict(step) for step in spec.pop('pipeline', default_pipeline) or []]
    if not any(step['type'].rpartition('.')[2] == 'PackInputs' for step in pipeline):
        raise ValueError(
            f'{where}: needs a pipeline with PackInputs, here or as '
            f'test_dataloader.dataset.pipeline of the model; found {pipeline}'
        )
    subset = spec.pop('subset', None)
    subset = None if subset is None else resolve_classes(subset)
    strange = sorted(set(subset or ()) - set(classes))
    if strange:
        raise ValueError(f'{where}: {strange[:8]} of the subset are no classes of the model')
    spec['folder'] = root / spec['folder']
    return RobustnessSet(name=name, classes=classes, pipeline=pipeline, subset=subset, **spec)


def check_set(spec: RobustnessSet) -> Listing:
    """List the images of a set, and refuse one that is not complete.

    Returns:
        Its images; those of an ImageNet-C folder are the same in all 75 cells.

    Raises:
        FileNotFoundError: A folder is missing or empty.
        ValueError: A class is not known, cells differ, or images are missing.
    """
    folders = list(dict.fromkeys(map(spec.folder_of, spec.cells)))
    if spec.kind == 'corruptions':
        missing = [str(f.relative_to(spec.folder)) for f in folders if not f.is_dir()]
        if missing:
            raise FileNotFoundError(
                f'{spec.folder}: expected 15 corruptions x 5 severities, {len(missing)} are '
                f'missing: {", ".join(missing)}. Unpack them there: {spec.protocol} never averages '
                'over fewer'
            )
    if spec.kind == 'on_the_fly':
        require_library()
    first = _list_cell(spec, folders[0])
    for folder in folders[1:]:
        listing = _list_cell(spec, folder)
        if listing.names != first.names:
            other = sorted({*listing.names} ^ {*first.names})
            raise ValueError(
                f'{folder} and {folders[0]} differ in {len(other)} files, first {other[0]}: all '
                'corruptions are of the same images, unpack both again'
            )
    return first


def _list_cell(spec: RobustnessSet, folder: Path) -> Listing:
    listing = list_images(folder, spec.classes, spec.subset)
    if spec.images and len(listing.names) != spec.images:
        raise ValueError(
            f'{folder} has {len(listing.names)} images, {spec.protocol} has {spec.images}: unpack '
            'the data set again (for a variant of your own: another protocol name, without images)'
        )
    return listing


def pick(listing: Listing, limit: int | None) -> Listing:
    """Take ``limit`` images, evenly spaced over the classes, or all if None."""
    count = len(listing.names)
    if limit is None or limit >= count:
        return listing
    places = [i * count // limit for i in range(limit)]
    return Listing([listing.names[i] for i in places], [listing.labels[i] for i in places])


def units_of(spec: RobustnessSet, listing: Listing) -> Iterator[Unit]:
    """Cut a set into units of at most ``CHUNK`` images of one cell."""
    total = len(listing.names)
    for cell in spec.cells:
        for start in range(0, total, CHUNK):
            yield Unit(spec.name, cell, start, min(start + CHUNK, total))
