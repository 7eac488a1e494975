"""The photographs of data sets, and whether they are read as they are meant."""

from collections.abc import Sequence

from mmc2fmae.bundled_files import BundledFile
from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.files import AnyPath, evenly
from mmc2fmae.images.opening import UNREADABLE, ends_whole, open_image
from mmc2fmae.images.rgb import brightest, nearly_black
from mmc2fmae.parallel import in_threads

MOST = 50_000
"""Photographs of larger data sets are not read before a run: a start should not take minutes."""


def parts_of(dataset) -> list:
    """Return the data sets that others are wrapped around: repeated, balanced, put together."""
    if isinstance(inner := getattr(dataset, 'datasets', None), list | tuple):
        return [part for one in inner for part in parts_of(one)]
    inner = getattr(dataset, 'dataset', None)
    return [dataset] if inner is None else parts_of(inner)


def photographs_of(dataset, most: int | None = None) -> list[str]:
    """Return the paths of a data set's photographs.

    Args:
        dataset: Of OpenMMLab; one of another kind has none.
        most: Number of photographs, evenly spaced; all by default.
    """
    places = [(part, i) for part in parts_of(dataset) if hasattr(part, 'get_data_info')
              for i in range(len(part))]  # fmt: skip
    infos = [part.get_data_info(i) for part, i in evenly(places, most)]
    return [info[key] for info in infos for key in ('img_path', 'rgb_path') if key in info]


def require_readable(paths: Sequence[AnyPath], or_else: str = '') -> None:
    """Refuse photographs that cannot be read, before a run meets one in its middle.

    Their headers are read; a JPEG or PNG that does not end as it should is decoded.

    Args:
        paths: Photographs; of more than :data:`MOST` none is read, nor those of bundles, which were
            looked at when they were written.
        or_else: What else can be done about those that cannot be read.

    Raises:
        DatasetError: Some cannot be read.
    """
    paths = _files_alone(paths)
    if len(paths) > MOST:
        return
    bad = [reason for reason in in_threads(_reason, paths, 'photograph') if reason]
    if bad:
        raise DatasetError(
            f'{len(bad):,} of {len(paths):,} photographs cannot be read, first '
            f'{first_names(bad, 3)}: restore them, save them anew or leave them out{or_else}'
        )


def _reason(path: AnyPath) -> str:
    try:
        with open_image(path) as image:
            brightest(image)
            if ends_whole(path, image) is False:
                image.load()
    except UNREADABLE as error:
        return f'{path} ({error})'
    return ''


def dark_photographs(paths: Sequence[AnyPath], most: int = 32) -> str:
    """Say that 16-bit grey photographs are nearly black, as those of 12 bits are, '' where none is.

    Args:
        paths: Photographs; those that cannot be read are left to who reads them. Those of bundles
            were looked at when they were written.
        most: Photographs to look at, evenly spaced.
    """
    chosen = evenly(_files_alone(paths), most)
    found = in_threads(_nearly_black, chosen, 'photograph')
    dark = [f'{path} ({what})' for path, what in zip(chosen, found, strict=True) if what]
    if not dark:
        return ''
    return (
        f'{len(dark)} of {len(chosen)} photographs looked at are nearly black, first '
        f'{first_names(dark, 1)}: where they hold 10, 12 or 14 bits, multiply them up to 65,535, '
        'or save 8 bits'
    )


def _files_alone(paths: Sequence[AnyPath]) -> list[AnyPath]:
    # Each of a bundle may lie in another shard, which a store would have to send.
    return [path for path in paths if not isinstance(path, BundledFile)]


def _nearly_black(path: AnyPath) -> str:
    try:
        with open_image(path) as image:
            return nearly_black(image)
    except UNREADABLE:
        return ''
