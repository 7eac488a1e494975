"""All that a process evaluates as one run of batches: loader processes start once, not a cell."""

from collections.abc import Iterator, Mapping, Sequence

from mmengine.dataset import default_collate, pseudo_collate
from torch.utils.data import Dataset

from mmc2fmae.evaluation.robustness_data import LabelledImages
from mmc2fmae.evaluation.robustness_sets import RobustnessSet, Unit

Pass = tuple[Unit, ...]
"""Units of the same images, which are read once for all of them."""


def passes_of(units: Sequence[Unit], sets: Mapping[str, RobustnessSet]) -> list[Pass]:
    """Put together what one reading serves: the severities of a corruption that is made here.

    Not all corruptions: that would save the last fifth of the reading, and an interruption would
    lose fifteen times as much.

    Args:
        units: Units, in any order.
        sets: The sets by name.
    """
    found: dict[object, list[Unit]] = {}
    for unit in units:
        made_here = sets[unit.set].kind == 'on_the_fly'
        key = (unit.set, unit.cell[0], unit.start) if unit.cell and made_here else unit
        found.setdefault(key, []).append(unit)
    return [tuple(together) for together in found.values()]


class Passes(Dataset):
    """Images of several passes; an item is an image in all cells of its pass.

    Args:
        passes: What to evaluate.
        images: The images of each pass.
    """

    def __init__(self, passes: Sequence[Pass], images: Sequence[LabelledImages]) -> None:
        self.passes, self.images = passes, images

    def __len__(self) -> int:
        """Return the number of images to read."""
        return sum(units[0].stop - units[0].start for units in self.passes)

    def __getitem__(self, place: tuple[int, int]) -> list[dict]:
        """Return the samples of an image, one a cell.

        Args:
            place: Number of the pass, and of the image in its set.

        Raises:
            RuntimeError: The image cannot be read or prepared; the message names the file.
        """
        number, index = place
        return self.images[number][index]


class Batches:
    """Places of :class:`Passes`, batch by batch; no batch holds images of two passes.

    Args:
        passes: What to evaluate.
        batch_size: Samples of a batch, at least one image in all its cells.
    """

    def __init__(self, passes: Sequence[Pass], batch_size: int) -> None:
        self.passes, self.batch_size = passes, batch_size

    def starts(self, units: Pass) -> range:
        """Return the first image of each batch of a pass."""
        return range(units[0].start, units[0].stop, max(self.batch_size // len(units), 1))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the places of each batch."""
        for number, units in enumerate(self.passes):
            starts = self.starts(units)
            for start in starts:
                stop = min(start + starts.step, units[0].stop)
                yield [(number, index) for index in range(start, stop)]


def collate(batch: Sequence[list[dict]]) -> dict:
    """Put samples together, image by image; inputs of one shape become one (B, 3, H, W) tensor.

    A tensor for each sample costs the process that receives them three times as much.

    Args:
        batch: Items of :class:`Passes`.
    """
    samples = [sample for image in batch for sample in image]
    alike = len({sample['inputs'].shape for sample in samples}) == 1
    return default_collate(samples) if alike else pseudo_collate(samples)
