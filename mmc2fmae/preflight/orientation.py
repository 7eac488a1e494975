"""Which way up were labels drawn? EXIF data may turn a photograph without changing its size.

Photographs are read upright. The size of labels tells whether they belong to the upright or to the
stored picture where a quarter turn changes it; half turns, mirrors and squares leave that open.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from mmc2fmae.datasets.label_info import manifest_path
from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.images.opening import UNREADABLE, open_image
from mmc2fmae.images.orientation import Stored, stored_size
from mmc2fmae.parallel import in_threads

FIX = (
    '`python tools/convert_dataset.py upright IMAGES OUT` writes photographs without EXIF '
    'orientation: as it shows them, or with --as-stored as the files store them, whichever the '
    'labels fit; use OUT in place of IMAGES'
)


def undecided(photo: Stored) -> bool:
    """Whether the size of labels leaves open which way up they were drawn."""
    return photo.orientation in (2, 3, 4) or (
        photo.orientation >= 5 and photo.width == photo.height
    )


def require_decided(
    photographs: Sequence[str | Path],
    labels: str,
    header: Callable[[str | Path], Stored] = stored_size,
) -> list[int]:
    """Refuse labelled photographs whose labels may be drawn either way up.

    Args:
        photographs: Paths; their headers are read.
        labels: What they have: 'boxes', 'masks', ...
        header: Reads size and orientation of a photograph.

    Returns:
        Places of those that are turned by a quarter, whose labels tell by their size.

    Raises:
        DatasetError: There are some, with their number, the first and the fix; or a photograph
            cannot be read.
    """
    headers = list(in_threads(header, photographs, 'header'))
    open_ones = [
        f'{path} ({photo.orientation})'
        for path, photo in zip(photographs, headers, strict=True)
        if undecided(photo)
    ]
    if open_ones:
        raise DatasetError(
            f'{len(open_ones):,} of {len(headers):,} photographs have {labels} and an EXIF '
            'orientation that turns or mirrors them at the same size, so that nothing tells '
            f'whether the {labels} fit the turned or the stored picture, first '
            f'{first_names(open_ones)}: {FIX}'
        )
    return [i for i, photo in enumerate(headers) if photo.orientation >= 5]


def check_maps(dataset: MultiGranularDataset) -> None:
    """Refuse photographs of a data set to pre-train on whose maps are, or may be, drawn turned.

    Those of ``label_images`` show the stored pixels; its manifest tells which these are.

    Raises:
        DatasetError: See :func:`require_decided`; or maps have the size of the turned picture.
    """
    if dataset.bundle is not None:  # it was checked when it was written
        return
    folder = Path(dataset.data_prefix['rgb'])
    if not dataset.label_granularities or manifest_path(folder.parent, folder.name).is_file():
        return
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    turned = require_decided([info['rgb_path'] for info in infos], 'maps', _header)
    wrong = []
    for info in map(infos.__getitem__, turned):
        photo = stored_size(info['rgb_path'])
        paths = [info[f'{granularity}_path'] for granularity in dataset.label_granularities]
        wrong += [path for path in paths if _map_size(path) == photo.upright != photo[:2]]
    if wrong:
        raise DatasetError(
            f'{len(wrong):,} maps have the size of their photograph as EXIF data turn it, first '
            f'{first_names(wrong)}; maps to pre-train on show the stored pixels: {FIX}'
        )


def _map_size(path: str) -> tuple[int, int] | None:
    """Read the width and height of a map; what cannot be read is left to training, too."""
    try:
        with open_image(path) as image:
            return image.size
    except UNREADABLE:
        return None


def _header(photograph: str | Path) -> Stored:
    """Read a header; what cannot be read is left to training, which names, counts and bounds it."""
    try:
        return stored_size(photograph)
    except DatasetError:
        return Stored(1, 1, 1)
