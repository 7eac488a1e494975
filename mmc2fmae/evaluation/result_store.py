"""Results kept on disk as soon as they are known, so that nothing is ever evaluated twice."""

import json
from dataclasses import asdict, astuple, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmc2fmae.files import write_atomically
from mmc2fmae.state_files import read_state, set_aside


@dataclass(frozen=True)
class Counts:
    """What is counted over images; integers, so that parts add up to the same whole.

    Attributes:
        correct: Right predictions among the classes of the set.
        correct_all: Right predictions among all classes of the model.
        total: Images.
    """

    correct: int
    correct_all: int
    total: int

    def __add__(self, other: 'Counts') -> 'Counts':
        return Counts(
            self.correct + other.correct,
            self.correct_all + other.correct_all,
            self.total + other.total,
        )


class ResultStore:
    """Counts of one set, under a key made of everything that they depend on.

    Args:
        root: Folder of the cache.
        name: Name of the set.
        settings: What the counts depend on, JSON types: checkpoint hash, protocol, model,
            pipeline, files, ... but not how the work is split.
    """

    def __init__(self, root: str | Path, name: str, settings: dict[str, Any]) -> None:
        self.settings = json.dumps(settings, indent=1, sort_keys=True, default=str)
        self.key = sha256(self.settings.encode()).hexdigest()[:16]
        self.folder = Path(root, f'{name}-{self.key}')

    def read(self, unit: str) -> Counts | None:
        """Return the counts of a unit, None where it is not evaluated or its file is damaged."""
        path = self.folder / f'{unit}.json'
        found = read_state(path, dict(correct=int, correct_all=int, total=int))
        if found is None:
            return None
        counts = Counts(found['correct'], found['correct_all'], found['total'])
        if not all(0 <= n <= counts.total for n in astuple(counts)):
            set_aside(path, f'expected counts of images, found {counts}')
            return None
        return counts

    def write(self, unit: str, counts: Counts) -> None:
        """Keep the counts of a unit, whole or not at all."""
        write_atomically(json.dumps(asdict(counts)).encode(), self.folder / f'{unit}.json')

    def describe(self) -> None:
        """Write ``settings.json``, which says what the key in the folder's name stands for."""
        write_atomically(self.settings.encode(), self.folder / 'settings.json')
