"""A stage: one process that leaves one result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmc2fmae.reproduce import configs
from mmc2fmae.reproduce.tables import Protocol


class PlanError(ValueError):
    """The plan cannot be carried out as asked; the message says what to change."""


@dataclass(frozen=True)
class Stage:
    """One process that leaves one result.

    Attributes:
        kind: 'pretrain', 'finetune', 'robustness', 'predictions' (one a photograph), 'bring' (a
            file of the user's) or 'scenes'.
        name: Readable part of the folder's name.
        identity: Digest of all that determines the result.
        config: Config of the tool; None for 'bring' and 'scenes'.
        overrides: Fields of the config to override.
        seed: Seed; None where nothing is random.
        upstream: Stage whose checkpoint this one starts from or evaluates.
        protocol: Protocol of the numbers; None where there are none.
        modified: How the recipe differs from the declared one, upstream included.
        options: Further settings: of the scenes, or where the file to bring is published.
        limit: Steps of a smoke run.
    """

    kind: str
    name: str
    identity: str
    config: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    upstream: 'Stage | None' = None
    protocol: Protocol | None = None
    modified: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None

    @property
    def key(self) -> str:
        """Name of the stage's folder."""
        seed = '' if self.seed is None else f'-s{self.seed}'
        return f'{self.kind}-{self.name}{seed}-{self.identity[:8]}'

    @property
    def trains(self) -> bool:
        """Whether a model is trained."""
        return self.kind in ('pretrain', 'finetune')

    @property
    def subject(self) -> str:
        """The task of a stage with numbers, otherwise its kind."""
        return self.protocol.task if self.protocol else self.kind

    @property
    def upstream_stage(self) -> 'Stage':
        """The stage whose checkpoint this one starts from.

        Raises:
            PlanError: It starts from none.
        """
        if self.upstream is None:
            raise PlanError(f'{self.key} starts from no other stage')
        return self.upstream

    @property
    def images(self) -> int:
        """Images of one evaluation: those of its protocol or of what it goes on from, or none."""
        if self.protocol is not None:
            return self.protocol.images
        return self.upstream.images if self.upstream else 0

    def load_config(self) -> Config:
        """Read the config with the overrides.

        Raises:
            ValueError: The stage has no config, or it cannot be read.
        """
        if self.config is None:
            raise ValueError(f'{self.key} has no config: its kind {self.kind!r} builds no model')
        return configs.read_config(self.config, self.overrides)
