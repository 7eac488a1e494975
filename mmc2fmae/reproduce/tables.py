"""Tables as data: what their files hold (table_files.py reads them)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRATCH = 'scratch'  # in place of a pre-training: the encoder starts from random weights
TASKS = ('classification', 'detection', 'segmentation', 'robustness')


@dataclass(frozen=True)
class Protocol:
    """One way to turn an encoder into numbers, with a version: results of equal ones compare.

    Attributes:
        id: Name and version, such as 'in1k-ft@1'.
        about: What it is, in one sentence.
        task: One of ``TASKS``.
        config: Config that trains and evaluates; of the sets for robustness.
        docs: Page that says where its data comes from.
        metrics: Metric of a table to its key in the log (or its set, for robustness).
        images: Images that are evaluated.
        train_images: Images of one epoch; 0 where nothing is trained.
        after: Protocol whose fine-tuned weights are evaluated, for robustness.
        digest: What the config must hash to; a change of the config needs a new version.
        printed: What the paper prints where the config differs: name to 'field' of the config,
            'value' and 'why'.
    """

    id: str
    about: str
    task: str
    config: Path
    docs: str
    metrics: Mapping[str, str]
    images: int
    train_images: int = 0
    after: str | None = None
    digest: str | None = None
    printed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id.partition('@')[0]


@dataclass(frozen=True)
class Preset:
    """How a table is run: on the paper's data, or in miniature.

    Attributes:
        name: 'paper', 'mini', 'mini-quick' or 'own'.
        about: What it is, in one sentence.
        seeds: Seeds of every training.
        comparable: Whether results may be set against the published ones.
        pretrain_images: Images of one pre-training epoch, by the folder that stands for ``data/X``.
        docs: Page that says where the pre-training data comes from.
        devices: Devices that the plan counts on.
        tflops: TFLOP/s that one of them is taken to reach in training.
        startup: Seconds until a tool does its first step.
        hardware: The assumption behind ``tflops``, in words.
        hides: Attributes of the paper's print that do not hold here.
        scenes: Folder of the data root to options of tools/make_scenes.py.
        overrides: 'pretrain' or a protocol to config fields.
    """

    name: str
    about: str
    seeds: tuple[int, ...]
    comparable: bool
    pretrain_images: Mapping[str, int]
    docs: str
    devices: int
    tflops: float
    startup: float
    hardware: str
    hides: tuple[str, ...] = ()
    scenes: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A column of numbers.

    Attributes:
        key: Key in a protocol's ``metrics``.
        name: As the paper prints it.
        unit: '%' or another.
        higher_is_better: Direction.
        names: Other names in other presets, where the column measures something else.
    """

    key: str
    name: str
    unit: str = '%'
    higher_is_better: bool = True
    names: Mapping[str, str] = field(default_factory=dict)

    def name_in(self, preset: str) -> str:
        """Return the column's name in a preset."""
        return self.names.get(preset.partition('-')[0], self.name)


@dataclass(frozen=True)
class Source:
    """Where a row's numbers come from in one preset.

    Attributes:
        pretrain: Config of the pre-training; None where there is none (``SCRATCH`` in the file).
        protocols: Ids of the protocols; each metric of the table is measured by one of them.
        start: Config of a pre-training whose encoder this one starts from.
    """

    pretrain: Path | None
    protocols: tuple[str, ...]
    start: Path | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        id: Unique in its table.
        name: First cell.
        attributes: The printed cells between name and numbers.
        published: Metric to the paper's number.
        sources: Preset to where our number comes from.
        bring: For other methods: 'file' (name without suffix, in the folder ``brought``) and
            'source' (where it is published).
        brought_protocols: Ids of the protocols of what is brought.
        note: What a reader must know.
    """

    id: str
    name: str
    attributes: tuple[str, ...]
    published: Mapping[str, float]
    sources: Mapping[str, Source]
    bring: Mapping[str, str] | None = None
    brought_protocols: tuple[str, ...] = ()
    note: str = ''


@dataclass(frozen=True)
class Table:
    """A table of the paper, or of a user.

    Attributes:
        id: File name without suffix.
        title: Such as 'Table I'.
        caption: What it shows.
        attributes: Heads of the rows' attributes.
        metrics: Columns of numbers.
        rows: Rows.
        reference: Row that gains are measured from where numbers themselves do not compare.
        protocols: Protocols that the file itself declares.
    """

    id: str
    title: str
    caption: str
    attributes: tuple[str, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    reference: str
    protocols: Mapping[str, Protocol] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        """Return a row by its id."""
        return next(row for row in self.rows if row.id == name)


@dataclass(frozen=True)
class Suite:
    """What all tables share.

    Attributes:
        protocols: Id to protocol.
        presets: Name to preset.
    """

    protocols: Mapping[str, Protocol]
    presets: Mapping[str, Preset]
