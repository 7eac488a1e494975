"""What all checks of data sets share."""

import os
from collections.abc import Iterable, Sequence

import numpy as np

from mmc2fmae.images import UNREADABLE, open_image


class DatasetError(ValueError):
    """A data set that would fail, or silently teach nothing, later on."""


def evenly(items: Sequence, number: int | None) -> list:
    """Return ``number`` items spread evenly over ``items``, or all of them."""
    if number is None or number >= len(items):
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, number).astype(int)]


def first_names(names: Iterable[str], most: int = 5) -> str:
    """Return the first names as indented lines and how many more there are."""
    names = list(names)
    rest = [f'  and {len(names) - most} more'] if len(names) > most else []
    return '\n'.join([f'  {name}' for name in names[:most]] + rest)


def missing_files(paths: Iterable[str | os.PathLike]) -> list[str]:
    """Return the paths that do not exist; lists folders instead of asking for each file."""
    folders: dict[str, set[str]] = {}
    missing = []
    for path in map(str, paths):
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = set(os.listdir(folder or '.')) if os.path.isdir(folder or '.') else {}
        if name not in folders[folder]:
            missing.append(path)
    return missing


def upright_size(path: str | os.PathLike) -> tuple[int, int]:
    """Return a photograph's width and height as it is read for training: turned as EXIF says.

    Raises:
        DatasetError: The file is no readable image.
    """
    width, height, turned = stored_size(path)
    return (height, width) if turned else (width, height)


def stored_size(path: str | os.PathLike) -> tuple[int, int, bool]:
    """Return a photograph's stored width and height, and whether EXIF turns it by a quarter.

    Raises:
        DatasetError: The file is no readable image.
    """
    try:
        with open_image(path) as image:
            return *image.size, image.getexif().get(0x0112, 1) >= 5
    except UNREADABLE as error:
        raise DatasetError(f'{path} is no readable image ({error})') from error
