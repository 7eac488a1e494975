"""A dataset as the checking and browsing tools are pointed at it: folders, classes, manifest."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmc2fmae.datasets.bundles import INDEX
from mmc2fmae.datasets.photograph_lists import read_photograph_list
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import list_photographs
from mmc2fmae.label_ids import check_num_classes
from mmc2fmae.preparation.layout import (
    GRANULARITIES,
    INFO_FILE,
    coco_panoptic_classes,
    manifest_path,
    read_label_info,
)
from mmc2fmae.texts import read_lines, read_text


class Layout(NamedTuple):
    """Where photographs and maps lie.

    Args:
        root: Folder of the dataset.
        folders: Folder of 'rgb' and of each granularity, relative to ``root``.
        suffix: Suffix of the maps.
    """

    root: str
    folders: dict[str, str]
    suffix: str = '.png'

    @property
    def granularities(self) -> list[str]:
        """The granularities that are maps."""
        return [g for g in self.folders if g != 'rgb']

    def file(self, granularity: str, name: str) -> str:
        """Return the path, relative to ``root``, of photograph ``name`` or of one of its maps."""
        if granularity != 'rgb':
            name = os.path.splitext(name)[0] + self.suffix
        return os.path.normpath(os.path.join(self.folders[granularity], name))

    def path(self, granularity: str, name: str) -> Path:
        """Return where photograph ``name`` or one of its maps lies."""
        return Path(self.root, self.file(granularity, name))

    def photographs(self, ann_file: str | None = None) -> list[str]:
        """Return the paths of the photographs relative to their folder.

        Args:
            ann_file: List of those to use, one a line; all by default.

        Raises:
            DatasetError: There are none, or listed ones are gone.
        """
        folder = Path(self.root, self.folders['rgb'])
        if ann_file:
            return read_photograph_list(ann_file, folder)
        names = list_photographs(folder)
        if not names:
            raise DatasetError(f'{folder} has no photographs')
        return names


class Expected(NamedTuple):
    """What a manifest says about a photograph.

    Args:
        error: Why it has no maps, or ''.
        width: Width in pixels.
        height: Height in pixels.
        instances: Number of instances.
    """

    error: str = ''
    width: int = 0
    height: int = 0
    instances: int = 0


def find_layout(
    root: str,
    split: str,
    folders: Sequence[str] = (),
    suffix: str = Layout._field_defaults['suffix'],
) -> Layout:
    """Return where things lie, from the words of a command line.

    Args:
        root: Folder of the dataset.
        split: Name of the photographs' folder; the maps are in ``<granularity>/<split>``.
        folders: Other folders, as 'rgb=images', 'instance=masks': then only these.
        suffix: Suffix of the maps.

    Raises:
        DatasetError: A folder is missing or a granularity unknown.
    """
    named = dict(rgb=split) | {g: f'{g}/{split}' for g in GRANULARITIES}
    if folders:
        pairs = [text.partition('=') for text in folders]
        named = {key: folder for key, _, folder in pairs}
        if 'rgb' not in named or len(named) < 2 or named.keys() - {'rgb', *GRANULARITIES}:
            raise DatasetError(
                f'folders are {" ".join(folders)}: expected rgb=FOLDER and one or both of '
                'instance=FOLDER and semantic=FOLDER'
            )
    if Path(root, named['rgb'], INDEX).is_file():
        raise DatasetError(
            f'{Path(root, named["rgb"])} is a bundle, which `mmc2fmae bundle verify` checks: give '
            'the folder that it was made of'
        )
    for key, folder in named.items():
        if not Path(root, folder).is_dir():
            raise DatasetError(
                f'{key} folder {Path(root, folder)} does not exist: choose another split, or name '
                'the folders there are, e.g. --folders rgb=images instance=masks'
            )
    return Layout(str(root), named, suffix)


def find_classes(root: str, given: Sequence[str] | None) -> tuple[tuple[str, ...], str]:
    """Return the names of the semantic classes in the order of their ids, and where they are from.

    Args:
        root: Folder of the dataset; its ``labels.json`` is asked next.
        given: Names, or one file: a name a line, or JSON like ``labels.json``. Without either,
            they are the 133 COCO panoptic classes of the paper.

    Raises:
        DatasetError: The file is missing or damaged, or the number of classes is impossible.
    """
    if given:
        names, source = tuple(given), '--classes'
        if len(given) == 1:
            source = given[0]
            names = _names_in(source)
        try:
            check_num_classes('semantic', len(names))
        except ValueError as error:
            raise DatasetError(f'{source}: {error}') from error
        return names, source
    info = read_label_info(root)
    if info:
        return info.semantic_classes, str(Path(root, INFO_FILE))
    return coco_panoptic_classes(), 'COCO panoptic, the default'


def find_manifest(layout: Layout) -> Path | None:
    """Return the manifest of the photographs' pseudo-labels, where there is one."""
    path = manifest_path(layout.root, layout.folders['rgb'])
    return path if path.is_file() else None


def _names_in(path: str) -> tuple[str, ...]:
    if not path.endswith('.json'):
        return tuple(read_lines(path))
    try:
        content = json.loads(read_text(path))
        return tuple(content['semantic_classes'] if isinstance(content, dict) else content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{path} cannot be read ({error!r}): expected a list of names, or the key '
            'semantic_classes'
        ) from error
