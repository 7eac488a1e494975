"""Labelled photographs for k-NN while training: who votes, and who is asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmc2fmae.datasets.image_folders import ImageFolders
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import list_folders
from mmc2fmae.paths import AnyPath

NEIGHBOURS = 1000, 10
"""Photographs that vote: so many at most, or so many a class, whichever is more."""
ASKED = 500, 1
"""Photographs that are classified, likewise."""


@dataclass
class Labelled:
    """Photographs in two parts.

    Attributes:
        paths: Photographs, those that vote first.
        labels: Class of each.
        voting: How many vote.
        classes: Number of classes.
    """

    paths: list[Path]
    labels: list[int]
    voting: int
    classes: int

    @property
    def chance(self) -> float:
        """Share of the asked, in percent, that always naming their commonest class gets right."""
        asked = self.labels[self.voting :]
        return 100 * Counter(asked).most_common(1)[0][1] / len(asked)


def spread(labels: Sequence[int], most: int) -> list[int]:
    """Choose indices so that every class has the same number, as far as it goes.

    Args:
        labels: Classes.
        most: Indices to choose at most.
    """
    seen: Counter[int] = Counter()
    turns = []
    for index, label in enumerate(labels):
        turns.append((seen[label], index))
        seen[label] += 1
    return sorted(index for _, index in sorted(turns)[:most])


def read_labelled(folder: AnyPath, k: int, most: int | None = None) -> Labelled:
    """Find the labelled photographs of a folder and part them.

    Of ``folder/train`` and ``folder/val`` the first votes and the second is asked. In a folder of
    class folders every second photograph of a class votes, in the order of their names.

    Args:
        folder: Folder of class folders, or of ``train`` and ``val`` with class folders of the same
            names in each.
        k: Neighbours that vote for one photograph.
        most: Photographs at most, two of three of which vote.

    Raises:
        DatasetError: There are no classes, or too few photographs.
        LabelsError: Class folders are empty, or differ.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatasetError(f'--probe-knn {folder} is no folder: expected a folder of class folders')
    parted = all((root / part).is_dir() and list_folders(root / part) for part in ('train', 'val'))
    if not list_folders(root):
        raise DatasetError(
            f'--probe-knn {folder} has no class folders: expected {folder}/CLASS/*.jpg, or these '
            f'in {folder}/train and {folder}/val'
        )
    known = ImageFolders(folder=str(root / 'train' if parted else root))
    pairs = _pairs(known)
    if parted:
        voting = pairs
        asked = _pairs(ImageFolders(folder=str(root / 'val'), classes=known.metainfo['classes']))
    else:
        seen: Counter[int] = Counter()
        voting, asked = [], []
        for path, label in pairs:
            (asked if seen[label] % 2 else voting).append((path, label))
            seen[label] += 1
    classes = len(known.metainfo['classes'])
    _check(folder, classes, voting, asked, k)
    voters, askers = (max(number, of_class * classes) for number, of_class in (NEIGHBOURS, ASKED))
    if most is not None:
        voters, askers = min(voters, max(2 * most // 3, k)), min(askers, max(most // 3, 1))
    voting, asked = _choose(voting, voters), _choose(asked, askers)
    every = voting + asked
    return Labelled(
        paths=[path for path, _ in every],
        labels=[label for _, label in every],
        voting=len(voting),
        classes=classes,
    )


def _choose(pairs: list[tuple[Path, int]], most: int) -> list[tuple[Path, int]]:
    return [pairs[index] for index in spread([label for _, label in pairs], most)]


def _pairs(folder: ImageFolders) -> list[tuple[Path, int]]:
    infos = map(folder.get_data_info, range(len(folder)))
    return [(Path(info['img_path']), info['gt_label']) for info in infos]


def _check(
    folder: AnyPath,
    classes: int,
    voting: Sequence[tuple[Path, int]],
    asked: Sequence[tuple[Path, int]],
    k: int,
) -> None:
    if classes < 2:
        raise DatasetError(
            f'--probe-knn {folder} has {classes} class folder: expected two or more, with one '
            'every answer is right'
        )
    alone = classes - len({label for _, label in asked})
    if alone or len(voting) < k:
        raise DatasetError(
            f'--probe-knn {folder} has {len(voting)} photographs that vote and {len(asked)} that '
            f'are asked, {alone} of {classes} classes have none to ask: expected {k} voters or '
            'more and, in each class, two photographs or more'
        )
