"""Do the values of segmentation masks fit the classes of a config?"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmc2fmae.datasets.photograph_lists import shorten
from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.errors import DatasetError, SampleError, first_names
from mmc2fmae.files import evenly, missing_files
from mmc2fmae.images import upright_size
from mmc2fmae.parallel import in_threads
from mmc2fmae.preflight.orientation import require_decided


def check_masks(
    pairs: Sequence[tuple[str, str]],
    num_classes: int,
    reduce_zero_label: bool = False,
    ignore: int = 255,
    most: int | None = None,
) -> str:
    """Read segmentation masks and compare their values with the classes.

    Args:
        pairs: Paths of (photograph, mask).
        num_classes: Number of classes C.
        reduce_zero_label: Whether 0 means 'not labelled' and classes start at 1, as in ADE20K.
        ignore: Value of pixels that count nowhere.
        most: Masks to read, evenly spaced; all by default.

    Returns:
        A line of what was found.

    Raises:
        DatasetError: An image or a mask is missing, EXIF turns leave open what a mask fits, a mask
            has colour channels or another size than its photograph, values are outside the classes
            (a histogram is shown), or nothing is labelled.
    """
    if not pairs:
        raise DatasetError(
            'the data set has no images: check data_root, data_prefix and img_suffix'
        )
    gone = missing_files(photo for photo, _ in pairs)
    if gone:
        raise DatasetError(
            f'{len(gone):,} of {len(pairs):,} listed images do not exist, first {shorten(gone)}: '
            'bring them back, or take them out of ann_file'
        )
    absent = missing_files(mask for _, mask in pairs)
    if absent:
        raise DatasetError(
            f'{len(absent)} of {len(pairs)} images have no mask, expected:\n{first_names(absent)}'
        )
    require_decided([photo for photo, _ in pairs], 'masks')
    chosen = evenly(pairs, most)
    first = int(reduce_zero_label)
    allowed = {*range(num_classes + first), ignore}
    counts: Counter[int] = Counter()
    offenders: dict[int, str] = {}
    for path, pixels in in_threads(_mask_values, chosen, 'mask'):
        counts.update(pixels)
        for value in pixels.keys() - allowed:
            offenders.setdefault(value, path)
    labelled = sum(n for value, n in counts.items() if value in allowed and value != ignore)
    labelled -= counts[0] if reduce_zero_label else 0
    where = Path(chosen[0][1]).parent
    meaning = f'expected classes {first} to {num_classes - 1 + first}, {ignore} = not counted' + (
        ' and 0 = not labelled (reduce_zero_label=True)' if reduce_zero_label else ''
    )
    table = _histogram(counts)
    if set(counts) == {0, 255}:
        raise DatasetError(
            f'{where}: the masks are binary, 0 and 255, but 255 means that a pixel is not counted: '
            'nothing but background would be learned. Save the object as 1 instead of 255 (for '
            f'example mask[mask == 255] = 1); {meaning}\n{table}'
        )
    if offenders:
        value, path = min(offenders.items())
        raise DatasetError(
            f'{where}: mask values {sorted(offenders)} are outside the classes, the first is '
            f'{value} in {path}; {meaning}\n{table}\n'
            + (
                'do the classes start at 1, with 0 = not labelled? Then set reduce_zero_label=True'
                if [*offenders] == [num_classes] and not reduce_zero_label
                else 'set num_classes and metainfo, or renumber the masks'
            )
        )
    if not labelled:
        raise DatasetError(f'{where}: no pixel of any mask is labelled; {meaning}\n{table}')
    seen = sum(1 for value in counts if value in allowed and value != ignore)
    return f'{where}: {len(chosen)} of {len(pairs)} masks read, {seen} values; {meaning}'


def _mask_values(pair: tuple[str, str]) -> tuple[str, dict[int, int]]:
    """Return a mask's path and how many pixels each value has."""
    photo, path = pair
    try:
        mask = read_label_map(path)
    except SampleError as error:
        raise DatasetError(str(error)) from error
    size = upright_size(photo)
    if size[::-1] != mask.shape:
        raise DatasetError(
            f'{path} is {mask.shape[1]} x {mask.shape[0]} pixels, its photograph {photo} is '
            f'{size[0]} x {size[1]}'
        )
    values, counts = np.unique(mask, return_counts=True)
    return path, dict(zip(values.tolist(), counts.tolist(), strict=True))


def _histogram(counts: Counter, most: int = 20) -> str:
    """Return the share of each value as lines, the most frequent first."""
    total = counts.total()
    lines = [f'  {value:>6} {n / total:>8.3%}' for value, n in counts.most_common(most)]
    more = [f'  and {len(counts) - most} more values'] if len(counts) > most else []
    return '\n'.join(['   value   pixels', *lines, *more])
