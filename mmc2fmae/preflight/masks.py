"""Do the values of segmentation masks fit the classes of a config?"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.errors import DatasetError, SampleError, first_names
from mmc2fmae.files import evenly, missing_files, spelt_otherwise
from mmc2fmae.images.orientation import upright_size
from mmc2fmae.label_maps import between_others, colours_of_ids, wide_ids
from mmc2fmae.parallel import in_threads
from mmc2fmae.preflight.defects import Found
from mmc2fmae.preflight.orientation import require_decided


def check_masks(
    pairs: Sequence[tuple[str, str]],
    num_classes: int,
    reduce_zero_label: bool = False,
    ignore: int = 255,
    most: int | None = None,
) -> Found:
    """Read segmentation masks and compare their values with the classes.

    Args:
        pairs: Paths of (photograph, mask).
        num_classes: Number of classes C.
        reduce_zero_label: Whether 0 means 'not labelled' and classes start at 1, as in ADE20K.
        ignore: Value of pixels that count nowhere.
        most: Masks to read, evenly spaced; all by default.

    Returns:
        What was found, and what is odd about it.

    Raises:
        DatasetError: An image or a mask is missing, EXIF turns leave open what a mask fits, a mask
            has colour channels or another size than its photograph, values are outside the classes
            (their shares are shown), or nothing is labelled.
    """
    _check_files(pairs)
    require_decided([photo for photo, _ in pairs], 'masks')
    chosen = evenly(pairs, most)
    first = int(reduce_zero_label)
    classes = range(first, num_classes + first)
    seen = _Seen()
    for mask in in_threads(_read_mask, chosen, 'mask'):
        seen.add(mask)
    where = Path(chosen[0][1]).parent
    meaning = f'expected classes {first} to {classes.stop - 1}, {ignore} = not counted' + (
        ' and 0 = not labelled (reduce_zero_label=True)' if reduce_zero_label else ''
    )
    _check_values(where, seen, classes, ignore, meaning)
    known = sorted(value for value in seen.counts if value in classes)
    whole = len(chosen) == len(pairs)
    notes = seen.oddities(set(known))
    if len(known) == 1:
        notes.append(f'every labelled pixel is {known[0]}: there is nothing to tell apart')
    elif absent := [str(c) for c in classes if c not in seen.counts] if whole else []:
        notes.append(
            f'{len(absent)} of {num_classes} classes are in no mask: {first_names(absent)}'
        )
    values = len(known) + (first and 0 in seen.counts)
    return Found(
        f'{where}: {len(chosen)} of {len(pairs)} masks read, {values} values; {meaning}',
        [f'{where}: {note}' for note in notes],
    )


def _check_files(pairs: Sequence[tuple[str, str]]) -> None:
    if not pairs:
        raise DatasetError(
            'the data set has no images: check data_root, data_prefix and img_suffix'
        )
    gone = missing_files(photo for photo, _ in pairs)
    if gone:
        raise DatasetError(
            f'{len(gone):,} of {len(pairs):,} listed images do not exist, first '
            f'{first_names(gone)}{spelt_otherwise(gone)}: bring them back, or take them out of '
            'ann_file'
        )
    absent = missing_files(mask for _, mask in pairs)
    if absent:
        raise DatasetError(
            f'{len(absent)} of {len(pairs)} images have no mask, expected '
            f'{first_names(absent)}{spelt_otherwise(absent)}: add them, or set data_prefix and '
            'seg_map_suffix'
        )


class _Mask(NamedTuple):
    path: str
    counts: dict[int, int]
    wide: set[int]
    colours: dict[int, tuple[int, int, int]]


class _Seen:
    """What all masks hold."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.examples: dict[int, str] = {}
        self.wide: set[int] = set()
        self.colours: dict[tuple[int, int, int], tuple[int, str]] = {}
        self.clash = ''

    def add(self, mask: _Mask) -> None:
        self.counts.update(mask.counts)
        for value in mask.counts:
            self.examples.setdefault(value, mask.path)
        self.wide |= mask.wide
        if len(set(mask.colours.values())) < len(mask.colours):
            return  # a palette that does not tell its ids apart tells nothing of them
        for value, colour in mask.colours.items():
            other, path = self.colours.setdefault(colour, (value, mask.path))
            if other != value and not self.clash:
                self.clash = (
                    f'the palettes differ: the colour {colour} is {other} in {path} and {value} in '
                    f'{mask.path}; ids count, not colours: save all masks with one palette'
                )

    def oddities(self, classes: set[int]) -> list[str]:
        """Return what may be wrong though every value is a class."""
        notes = [self.clash] if self.clash else []
        between = between_others(classes, classes & self.wide)
        if between:
            notes.append(
                f'{first_names(map(str, between))} are nowhere two pixels wide, but lie between '
                'other values: were masks resized by interpolation, which invents ids at edges? '
                'Resize them by nearest neighbour'
            )
        return notes


def _check_values(where: Path, seen: _Seen, classes: range, ignore: int, meaning: str) -> None:
    allowed = {*classes, ignore, *range(classes.start)}
    found = f'found {_shares(seen.counts)}, {meaning}'
    if set(seen.counts) == {0, 255}:
        raise DatasetError(
            f'{where}: the masks are binary, 0 and 255, but 255 means that a pixel is not counted: '
            'nothing but background would be learned; save the object as 1 instead of 255 (for '
            f'example mask[mask == 255] = 1); {found}'
        )
    offenders = sorted(seen.counts.keys() - allowed)
    if offenders:
        fix = 'set num_classes and metainfo, or renumber the masks'
        if offenders == [classes.stop] and not classes.start:
            fix = 'where the classes start at 1, with 0 = not labelled, set reduce_zero_label=True'
        raise DatasetError(
            f'{where}: mask values [{first_names(map(str, offenders), 20)}] are outside the '
            f'classes, the first is {offenders[0]} in {seen.examples[offenders[0]]}; {found}: {fix}'
        )
    if not any(value in classes and value != ignore for value in seen.counts):
        raise DatasetError(f'{where}: no pixel of any mask is labelled; {found}')


def _read_mask(pair: tuple[str, str]) -> _Mask:
    """Return what a mask holds; its size is that of the photograph."""
    photo, path = pair
    try:
        mask = read_label_map(path)
        colours = colours_of_ids(path)
    except SampleError as error:
        raise DatasetError(str(error)) from error
    size = upright_size(photo)
    if size[::-1] != mask.shape:
        raise DatasetError(
            f'{path} is {mask.shape[1]} x {mask.shape[0]} pixels, its photograph {photo} is '
            f'{size[0]} x {size[1]}: make them equal'
        )
    values, counts = np.unique(mask, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return _Mask(path, found, wide_ids(mask), {i: c for i, c in colours.items() if i in found})


def _shares(counts: Counter[int], most: int = 20) -> str:
    """Return the share of each value, the most frequent first."""
    total = counts.total()
    return first_names([f'{value} ({n / total:.3%})' for value, n in counts.most_common()], most)
