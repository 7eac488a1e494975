"""The bookkeeping of a labelling job: fixed parts, one claim a process, a manifest at the end."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import atomic_file, write_atomically
from mmc2fmae.preparation.layout import manifest_path
from mmc2fmae.state_files import set_aside


class Job:
    """The work of labelling one split, cut into parts of consecutive photographs.

    A part is labelled by one process in batches of its own, so neither the number of processes nor
    an interruption changes a byte; it counts as done once its record is on disk, which is written
    after its maps. ``ROOT/.labeling/<split>`` holds settings, records and locks.

    Args:
        root: Folder of the dataset.
        split: Name of the photographs' folder in it.
        names: Relative paths of the photographs, sorted.
        part_size: Photographs of a part.
        settings: Everything that the maps depend on, JSON types.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        names: Sequence[str],
        part_size: int,
        settings: dict[str, Any],
    ) -> None:
        self.root = Path(root)
        self.split = split
        self.parts = [names[i : i + part_size] for i in range(0, len(names), part_size)]
        self.folder = self.root / '.labeling' / split
        photographs = sha256('\n'.join(names).encode()).hexdigest()[:16]
        self.settings = settings | dict(
            part_size=part_size, photographs=len(names), names=photographs
        )
        self.manifest = manifest_path(root, split)

    @contextmanager
    def claim(self, rank: int) -> Iterator[None]:
        """Hold this process's share against a second run on the same output.

        Args:
            rank: Rank of the process.

        Raises:
            DatasetError: Another run holds it, or the output was begun with other settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f'rank{rank}.lock', 'w') as file:
            try:
                # The system lets go of it however the process ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DatasetError(
                    f'another run is labelling {self.root} ({file.name} is locked): wait for it, '
                    'stop it, or choose another output'
                ) from None
            self._agree()
            yield

    def _agree(self) -> None:
        path = self.folder / 'settings.json'
        if not path.exists():
            write_atomically(json.dumps(self.settings, indent=1).encode(), path)
            return
        try:
            before = json.loads(path.read_text())
            if not isinstance(before, dict):
                raise ValueError(f'it holds a {type(before).__name__}')
        except (ValueError, RecursionError) as error:
            raise DatasetError(f'{path} is damaged ({error}): delete it') from error
        ours = json.loads(json.dumps(self.settings))
        differing = [
            f'{key}: {before.get(key)!r}, now {ours.get(key)!r}'
            for key in sorted(before.keys() | ours.keys())
            if before.get(key) != ours.get(key)
        ]
        if differing:
            raise DatasetError(
                f'{self.root} was begun with other settings ({"; ".join(differing)}): '
                f'run with the same ones, choose another output, or delete {self.folder} and '
                f'{self.manifest} to label everything again'
            )

    def record_path(self, part: int) -> Path:
        """Return where the record of a part lies."""
        return self.folder / 'parts' / f'{part:08d}.jsonl'

    def done(self) -> set[int]:
        """Return the numbers of the parts that are done."""
        if self.manifest.exists():
            return set(range(len(self.parts)))
        try:
            found = os.listdir(self.folder / 'parts')
        except FileNotFoundError:  # none yet, or just merged
            return set(range(len(self.parts))) if self.manifest.exists() else set()
        numbers = [int(n[:-6]) for n in found if re.fullmatch(r'\d+\.jsonl', n)]
        return {part for part in numbers if part < len(self.parts) and self._is_whole(part)}

    def _is_whole(self, part: int) -> bool:
        """Tell whether the record of a part is whole; a damaged one is set aside."""
        path = self.record_path(part)
        try:
            records = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
        except FileNotFoundError:  # just merged
            return self.manifest.exists()
        except (ValueError, RecursionError) as error:
            set_aside(path, str(error)[:100])
            return False
        whole = len(records) == len(self.parts[part]) and all(isinstance(r, dict) for r in records)
        if not whole:
            set_aside(path, f'{len(records)} records of {len(self.parts[part])} photographs')
        return whole

    def finish(self, part: int, records: Sequence[dict]) -> None:
        """Record a part whose maps are all on disk.

        Args:
            part: Its number.
            records: A line of the manifest for each of its photographs.
        """
        lines = ''.join(json.dumps(record) + '\n' for record in records)
        write_atomically(lines.encode(), self.record_path(part))

    def merge(self) -> bool:
        """Join the records of all parts into the manifest once there are all; any process may.

        Returns:
            Whether the manifest is there now.
        """
        with open(self.folder / 'merge.lock', 'w') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if self.manifest.exists():
                shutil.rmtree(self.folder / 'parts', ignore_errors=True)  # of a killed merge
                return True
            if len(self.done()) < len(self.parts):
                return False
            with atomic_file(self.manifest) as whole:
                for part in range(len(self.parts)):
                    whole.write(self.record_path(part).read_bytes())
            shutil.rmtree(self.folder / 'parts')
            return True
