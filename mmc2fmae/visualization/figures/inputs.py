"""Which photographs, with which maps, a figure shows."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmpretrain.registry import DATASETS

from mmc2fmae.errors import DatasetError
from mmc2fmae.evaluation.image_files import find_images
from mmc2fmae.files import evenly

LABEL_SUFFIX = '.png'


class Sample(NamedTuple):
    """A photograph and its maps.

    Args:
        name: What it is called in a figure.
        files: File of 'rgb' and of each granularity there is.
    """

    name: str
    files: dict[str, str]


def find_photographs(sources: Sequence[str | Path]) -> list[Path]:
    """List the photographs of folders, lists and files; see :func:`find_images`.

    Raises:
        FileNotFoundError: There are none, or one is missing.
        ValueError: One is no image.
    """
    if not sources:
        raise FileNotFoundError('no images: give photographs or folders of them (--images)')
    return [path for source in sources for path in find_images(source)]


def samples_of_photographs(
    sources: Sequence[str | Path], maps: dict[str, str] | None = None
) -> list[Sample]:
    """Find photographs and their maps.

    Args:
        sources: Photographs, folders of them, or lists.
        maps: Folder of each granularity. The map of ``FOLDER/a/b.jpg`` is ``MAPS/a/b.png`` where
            FOLDER is a source; of a single photograph it is ``MAPS/b.png`` or ``MAPS/a/b.png``.

    Raises:
        FileNotFoundError: A photograph or a map is missing.
        ValueError: A photograph is no image.
        DatasetError: Two photographs would have the same map.
    """
    samples = []
    owners: dict[tuple[str, Path], Path] = {}
    for source in sources:
        for photo in find_photographs([source]):
            stem = Path(os.path.splitext(photo)[0])
            places = [Path(stem.name), Path(stem.parent.name, stem.name)]
            if Path(source).is_dir():
                places = [stem.relative_to(source)]
            files = dict(rgb=str(photo))
            for granularity, folder in (maps or {}).items():
                tried = [Path(folder, f'{place}{LABEL_SUFFIX}') for place in places]
                found = next((path for path in tried if path.is_file()), None)
                if found is None:
                    raise FileNotFoundError(
                        f'{photo} has no {granularity} map: there is no '
                        f'{" or ".join(map(str, tried))} (--maps {granularity}=FOLDER)'
                    )
                other = owners.setdefault((granularity, found), photo)
                if other != photo:
                    raise DatasetError(
                        f'{other} and {photo} would share the {granularity} map {found}: give one '
                        'of them, or rename one with its map'
                    )
                files[granularity] = str(found)
            samples.append(Sample(stem.name, files))
    return samples


def samples_of_dataset(spec: dict, count: int) -> list[Sample]:
    """Take samples evenly spread over a dataset.

    Args:
        spec: Config of a :class:`MultiGranularDataset`; its pipeline does not matter.
        count: How many, at most all.

    Raises:
        FileNotFoundError: Folders or maps are missing.
        DatasetError: It is another kind of dataset.
    """
    if spec.get('type') != 'MultiGranularDataset':
        raise DatasetError(
            f'the dataset is a {spec.get("type")}: expected a MultiGranularDataset; name the '
            'photographs (--images) and their maps (--maps)'
        )
    dataset = DATASETS.build(dict(spec, pipeline=[]))
    samples = []
    for index in evenly(range(len(dataset)), count):
        info = dataset.get_data_info(index)
        files = {g: info[f'{g}_path'] for g in info['granularities']}
        samples.append(Sample(Path(info['path']).stem, files))
    return samples


def label_of(checkpoint: str | Path) -> str:
    """Return what to call a checkpoint: its file's name, or its run's where that says more."""
    path = Path(checkpoint).absolute()
    return path.parent.name if re.fullmatch(r'(epoch|iter)_\d+', path.stem) else path.stem


def choose_names(given: Sequence[str] | None, default: Sequence[str], what: str) -> list[str]:
    """Return the given names, or the default ones.

    Raises:
        ValueError: There are not as many as there are things to name.
    """
    if given and len(given) != len(default):
        raise ValueError(f'{len(given)} {what} for {len(default)}: {", ".join(default)}')
    return list(given or default)
