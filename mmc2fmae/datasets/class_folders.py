"""Class folders as in ImageNet: a class is known by its folder's name, never by its place."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from timm.data import ImageNetInfo

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


class LabelsError(ValueError):
    """A labelled set is not what it was said to be; the message names what differs."""


def class_names(classes: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the names of the class folders in the order of the class indices.

    Args:
        classes: The names, 'imagenet' for the 1,000 wnids of ImageNet-1K, or None for no classes.
    """
    if classes == 'imagenet':
        return tuple(ImageNetInfo('imagenet-1k').label_names())
    return tuple(classes or ())


def list_files(root: str | Path) -> list[str]:
    """Return the relative paths of all files under ``root``, sorted, following links."""
    names = []
    for folder, _, files in os.walk(root, followlinks=True):
        prefix = os.path.relpath(folder, root)
        names += files if prefix == '.' else [os.path.join(prefix, name) for name in files]
    return sorted(names)


def list_photographs(root: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[str]:
    """Return the relative paths of all photographs under ``root``, sorted, following links."""
    return [name for name in list_files(root) if name.lower().endswith(tuple(suffixes))]


def labels_of_folders(root: str | Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the class index of each photograph from the folder that it lies in.

    Args:
        root: Folder of the class folders, for messages.
        names: Paths relative to it.
        classes: Folder names in the order of the class indices.

    Raises:
        LabelsError: The set is flat, or its folders are not the classes.
    """
    index = {name: i for i, name in enumerate(classes)}
    folders = [name.split(os.sep, 1)[0] if os.sep in name else '' for name in names]
    found = Counter(folders)
    if found[''] == len(names):
        raise LabelsError(
            f'{root} is flat: {len(names):,} photographs and no class folders; give label_file '
            "(Kaggle's LOC_val_solution.csv, Caffe's val.txt or the development kit's ground "
            'truth), or sort them into class folders'
        )
    unknown = sorted(set(+found) - set(index))
    missing = sorted(set(index) - set(found))
    if unknown or missing:
        raise LabelsError(
            f'{root} has {len(+found)} class folders, expected {len(index)}: {len(unknown)} '
            f'unknown {unknown[:5]}, {len(missing)} missing or empty {missing[:5]}; classes are '
            'known by the names of their folders'
        )
    return [index[folder] for folder in folders]
