"""Sets that hold only some of a model's classes: ImageNet-A, ImageNet-R, or a user's own."""

import os
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from mmc2fmae.datasets.class_folders import folder_names, labels_of_folders
from mmc2fmae.files import list_photographs

SUBSETS = {'imagenet-a': 'imagenet_a_synsets.txt', 'imagenet-r': 'imagenet_r_synsets.txt'}
"""The two 200-class sets, and the files of timm that list their classes."""


class Listing(NamedTuple):
    """Images of a folder.

    Args:
        names: Paths relative to the folder, ``class/file``.
        labels: Index of each image's class in the model's output.
    """

    names: list[str]
    labels: list[int]

    def digest(self) -> str:
        """Return a hash of names and labels, not of the files' content."""
        lines = (f'{n}\t{i}\n' for n, i in zip(self.names, self.labels, strict=True))
        return sha256(''.join(lines).encode()).hexdigest()[:16]


def resolve_classes(classes: str | Sequence[str]) -> list[str]:
    """Resolve the classes of a config to folder names.

    Args:
        classes: 'imagenet', 'imagenet-a' or 'imagenet-r' (WordNet ids, from timm), or the names
            themselves.

    Raises:
        ValueError: The list is not known, or a name is in it twice.
    """
    if isinstance(classes, str) and classes != 'imagenet':
        if classes not in SUBSETS:
            known = ['imagenet', *SUBSETS]
            raise ValueError(f'classes {classes!r}: expected one of {known} or a list of names')
        return files('timm.data').joinpath(f'_info/{SUBSETS[classes]}').read_text().split()
    names = list(folder_names(classes))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'classes: {twice} are in the list more than once')
    return names


def list_images(
    folder: str | os.PathLike, classes: Sequence[str], subset: Sequence[str] | None = None
) -> Listing:
    """List the images of class folders; a folder's name alone decides its label.

    Args:
        folder: Holds one folder a class.
        classes: Folder names in the order of the model's outputs.
        subset: The classes that are there, all of them if None.

    Returns:
        Images sorted by name.

    Raises:
        FileNotFoundError: There is no such folder, or it holds no image.
        LabelsError: The folders are not the classes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is no folder: unpack the data set there')
    names = list_photographs(folder)
    if not names:
        raise FileNotFoundError(f'{folder} holds no images: unpack the data set there')
    present = list(classes if subset is None else subset)
    index = [classes.index(name) for name in present]
    labels = labels_of_folders(folder, names, present)
    return Listing(names, [index[label] for label in labels])
