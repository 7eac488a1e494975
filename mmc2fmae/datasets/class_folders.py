"""Class folders as in ImageNet: a class is known by its folder's name, never by its place."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from timm.data import ImageNetInfo

from mmc2fmae.errors import LabelsError


def folder_names(classes: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the names of the class folders in the order of the class indices.

    Args:
        classes: The names, 'imagenet' for the 1,000 wnids of ImageNet-1K, or None for no classes.
    """
    if classes == 'imagenet':
        return tuple(ImageNetInfo('imagenet-1k').label_names())
    return tuple(classes or ())


def labels_of_folders(root: str | Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the class index of each photograph from the folder that it lies in.

    Args:
        root: Folder of the class folders, for messages.
        names: Paths relative to it.
        classes: Folder names in the order of the class indices.

    Raises:
        LabelsError: The set is flat, or its folders are not the classes.
    """
    index = {normalize('NFC', name): i for i, name in enumerate(classes)}
    if len(index) < len(classes):
        raise LabelsError(f'{root}: classes {classes} differ in the Unicode form of accents alone')
    # macOS writes an accent as a character of its own: names are compared in one form.
    folders = [normalize('NFC', n.split(os.sep, 1)[0]) if os.sep in n else '' for n in names]
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
            'known by the names of their folders: rename them, or remove empty ones'
        )
    return [index[folder] for folder in folders]
