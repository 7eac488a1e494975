"""What photographs and maps are like, added up over a dataset."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import numpy as np

from mmc2fmae.label_ids import IGNORE


@dataclass
class Statistics:
    """Sums over photographs; memory grows with the different sizes and ids, not with photographs.

    Attributes:
        modes: Photographs by Pillow's mode.
        sizes: Photographs by (width, height).
        instances: Photographs by number of instances.
        covered: Photographs by share of pixels with an instance, to three digits.
        dropped: Sum of the shares of pixels whose instance ids are beyond the model's classes.
        known: Photographs by share of pixels with a known class, to three digits.
        class_shares: Sum of the shares of pixels of each class id.
        class_photographs: Photographs that have each class id.
        wide_classes: Photographs where a class id is two pixels wide and high somewhere.
        palettes: Semantic maps whose palette gives a colour to an id that they have.
    """

    modes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    instances: Counter[int] = field(default_factory=Counter)
    covered: Counter[float] = field(default_factory=Counter)
    dropped: float = 0.0
    known: Counter[float] = field(default_factory=Counter)
    class_shares: Counter[int] = field(default_factory=Counter)
    class_photographs: Counter[int] = field(default_factory=Counter)
    wide_classes: Counter[int] = field(default_factory=Counter)
    palettes: Counter[tuple[tuple[int, int, int], int]] = field(default_factory=Counter)

    def merge(self, other: 'Statistics') -> None:
        """Add the sums of other photographs."""
        self.dropped += other.dropped
        for one in fields(self):
            if one.name != 'dropped':
                getattr(self, one.name).update(getattr(other, one.name))

    def add_photograph(self, mode: str, width: int, height: int) -> None:
        """Add a photograph."""
        self.modes[mode] += 1
        self.sizes[width, height] += 1

    def add_instances(self, counts: np.ndarray, num_instances: int) -> None:
        """Add an instance map.

        Args:
            counts: Pixels of each id from 0, the background.
            num_instances: Instance classes of the model, background included.
        """
        areas = np.sort(counts[1:][counts[1:] > 0])[::-1]
        shares = areas / counts.sum()
        self.instances[len(areas)] += 1
        self.covered[round(float(shares.sum()), 3)] += 1
        self.dropped += float(shares[num_instances - 1 :].sum())

    def add_palette(self, colours: dict[int, tuple[int, int, int]], counts: np.ndarray) -> None:
        """Add the palette of a semantic map, where it tells the ids of the map apart.

        Args:
            colours: Colour of each id.
            counts: Pixels of each id from 0.
        """
        used = {i: colours[i] for i in np.flatnonzero(counts).tolist() if i in colours}
        if len(set(used.values())) == len(used):
            self.palettes.update((colour, i) for i, colour in used.items())

    def add_classes(self, counts: np.ndarray, wide: Iterable[int]) -> None:
        """Add a semantic map.

        Args:
            counts: Pixels of each id from 0; 255 is unknown.
            wide: Ids that are two pixels wide and high somewhere.
        """
        self.wide_classes.update(wide)
        unknown = counts[IGNORE] if len(counts) > IGNORE else 0
        self.known[round(float(1 - unknown / counts.sum()), 3)] += 1
        for i in np.flatnonzero(counts).tolist():
            # typeshed's Counter counts whole numbers alone.
            self.class_shares[i] += float(counts[i] / counts.sum())  # type: ignore[assignment]
            self.class_photographs[i] += 1
