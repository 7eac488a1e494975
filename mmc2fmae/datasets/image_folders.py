"""Labelled photographs in class folders: ImageNet, a fixed share of it, or a user's own."""

import csv
import hashlib
import logging
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmc2fmae.datasets.class_folders import folder_names, labels_of_folders
from mmc2fmae.datasets.listing_cache import FolderScanner, Say, cached_listing
from mmc2fmae.datasets.photograph_lists import find_entries, match_entries
from mmc2fmae.datasets.sample_tables import SampleTable
from mmc2fmae.errors import LabelsError, SampleError, first_names
from mmc2fmae.files import IMAGE_SUFFIXES, list_folders, photographs_in
from mmc2fmae.images.opening import UNREADABLE
from mmc2fmae.paths import expand_path
from mmc2fmae.texts import read_text


def fixed_share(names: Sequence[str], labels: Sequence[int], share: float) -> list[int]:
    """Choose the same share of each class everywhere, by the hash of the file's name.

    A class keeps its ``ceil(share * n)`` files with the smallest SHA-256 of their stem, so the
    choice needs no list, does not depend on paths or order, and 1 % is contained in 10 %.

    Args:
        names: File names; folders and suffixes do not matter.
        labels: Class of each.
        share: Share of each class to keep, in (0, 1].

    Returns:
        Indices of the files that are kept, ascending.

    Raises:
        ValueError: ``share`` is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f'label_share is {share}: expected a share in (0, 1], 0.01 for 1 %')
    if share == 1:
        return list(range(len(names)))
    members = defaultdict(list)
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        members[label].append((hashlib.sha256(Path(name).stem.encode()).digest(), index))
    kept = [
        index
        for group in members.values()
        for _, index in sorted(group)[: math.ceil(share * len(group))]
    ]
    return sorted(kept)


def read_label_file(path: Path, wnids: Sequence[str]) -> dict[str, int]:
    """Read the labels of a flat validation folder.

    Three published forms are known: ``LOC_val_solution.csv`` of Kaggle (wnids), ``val.txt`` of
    Caffe (``name index``), and ``ILSVRC2012_validation_ground_truth.txt`` of the development kit
    (ILSVRC ids, one a line, with the kit's ``meta.mat`` in the same folder).

    Args:
        path: The file.
        wnids: Class names in the order of their indices.

    Returns:
        Photograph, as the file names it, to its class index.

    Raises:
        LabelsError: The file has another form, its classes are not known, or it gives a photograph
            two labels.
        DatasetError: It is no text.
    """
    index = {wnid: i for i, wnid in enumerate(wnids)}
    lines = [line.strip() for line in read_text(path).split('\n') if line.strip()]
    try:
        if path.suffix.lower() == '.csv':
            rows = csv.DictReader(lines)
            return _as_table(
                path, [(r['ImageId'], index[r['PredictionString'].split()[0]]) for r in rows]
            )
        if len(lines[0].split()) > 1:
            pairs = [line.rsplit(maxsplit=1) for line in lines]
            return _as_table(path, [(name, int(label)) for name, label in pairs])
        ids = [int(line) for line in lines]
        order = _ilsvrc_wnids(path.with_name('meta.mat'))
        return {f'ILSVRC2012_val_{i:08d}': index[order[n]] for i, n in enumerate(ids, start=1)}
    except LabelsError:
        raise
    except (KeyError, IndexError, ValueError) as error:
        raise LabelsError(
            f'{path}: no label file that is known ({type(error).__name__}: {error}); expected '
            "Kaggle's LOC_val_solution.csv, Caffe's val.txt, or the development kit's "
            'ILSVRC2012_validation_ground_truth.txt'
        ) from error


def _as_table(path: Path, rows: Sequence[tuple[str, int]]) -> dict[str, int]:
    table: dict[str, int] = {}
    for name, label in rows:
        if table.setdefault(name, label) != label:
            raise LabelsError(
                f'{path} gives {name} the labels {table[name]} and {label}: expected one each'
            )
    return table


def _ilsvrc_wnids(path: Path) -> dict[int, str]:
    """Read ILSVRC2012_ID to wnid from the development kit's ``meta.mat``."""
    from scipy.io import loadmat

    if not path.is_file():
        raise LabelsError(
            f'{path} is missing: the ground truth of the development kit is numbered by it; copy '
            "it beside the ground truth, from the kit's data folder"
        )
    synsets = loadmat(str(path), squeeze_me=True)['synsets']
    return {int(row[0]): str(row[1]) for row in synsets}


@DATASETS.register_module()
class ImageFolders(BaseDataset):
    """Photographs in class folders, or flat with a label file; classes are known by name.

    A class's index is the place of its folder's name in ``classes``, never its place among the
    folders that happen to be there.

    Args:
        data_root: Folder that ``folder`` and ``label_file`` are relative to.
        folder: Folder of the class folders, or of the photographs themselves.
        classes: Folder names in the order of the class indices, 'imagenet' for the 1,000 wnids, or
            None for the sorted names of the folders.
        label_file: Labels of the photographs, by path relative to the folder, by name or by stem;
            see :func:`read_label_file`.
        label_share: Share of each class to use; see :func:`fixed_share`.
        label_list: File of the photographs to use, one path a line, in place of a share.
        expected: Photographs that the folder must hold in all, None for any number.
        pipeline: Transforms of mmpretrain.
        **kwargs: Passed to :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: A folder or file does not exist or is empty.
        LabelsError: Class folders are unknown or missing, or the number of files is wrong.
        DatasetError: A listed photograph is gone or may be several.
    """

    def __init__(
        self,
        data_root: str = '',
        folder: str = 'train',
        classes: Sequence[str] | str | None = None,
        label_file: str = '',
        label_share: float = 1.0,
        label_list: str = '',
        expected: int | None = None,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        root = Path(data_root)
        self.folder = Path(expand_path(root / folder))
        self.label_file = Path(expand_path(root / label_file)) if label_file else None
        self.label_list = Path(expand_path(root / label_list)) if label_list else None
        self.label_share = label_share
        self.expected = expected
        if classes is None and self.folder.is_dir():
            classes = list_folders(self.folder)
        kwargs.setdefault('serialize_data', False)  # a SampleTable is compact
        super().__init__(
            ann_file='',
            metainfo=dict(classes=folder_names(classes)),
            data_root='',
            pipeline=pipeline,
            **kwargs,
        )

    def load_data_list(self) -> SampleTable:
        """List every photograph with its class index, after all checks."""
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f'{self.folder} does not exist; point --data-root at the folder above it or set '
                'folder (docs/classification.md)'
            )
        say = partial(print_log, logger='current', level=logging.WARNING)
        if self.label_file or self.label_list:
            table = self._list(FolderScanner(), say)
        else:
            options = dict(
                dataset='ImageFolders',
                folder=os.path.realpath(self.folder),
                classes=list(self.CLASSES),
                expected=self.expected,
                label_share=self.label_share,
            )
            table = cached_listing(options, self._list, say)
        table.folder = self.folder
        return table

    def _list(self, scan: FolderScanner, say: Say) -> SampleTable:
        names = photographs_in(scan(str(self.folder)), self.folder, say=say)
        if not names:
            raise FileNotFoundError(f'{self.folder} holds no photographs ({IMAGE_SUFFIXES})')
        if self.expected and len(names) != self.expected:
            raise LabelsError(
                f'{self.folder} holds {len(names):,} photographs, expected {self.expected:,}: the '
                'copy is incomplete or of another data set; for a set of your own give '
                'expected=None'
            )
        if self.label_file:
            labels = self._labels_of_file(self.label_file, names)
        else:
            labels = labels_of_folders(self.folder, names, self.CLASSES)
        kept = fixed_share(names, labels, self.label_share)
        if self.label_list:
            kept = self._listed(self.label_list, names)
        if len(kept) < len(names):
            print_log(f'{self.folder}: {len(kept):,} of {len(names):,} labels are used', 'current')
        return SampleTable.of((names[i] for i in kept), (labels[i] for i in kept))

    def prepare_data(self, idx: int) -> dict:
        """Run a sample through the pipeline.

        Raises:
            SampleError: Its photograph cannot be read; the message names it.
        """
        try:
            return super().prepare_data(idx)
        except SampleError:
            raise
        except UNREADABLE as error:
            path = self.get_data_info(idx)['img_path']
            raise SampleError(f'cannot be read ({error})', path) from error

    def _labels_of_file(self, file: Path, names: list[str]) -> list[int]:
        if not file.is_file():
            raise FileNotFoundError(f'label_file {file} does not exist')
        table = read_label_file(file, self.CLASSES)
        found, gone = match_entries(file, table, self.folder, names)
        labels = {found[entry]: label for entry, label in table.items() if entry in found}
        missing = [name for i, name in enumerate(names) if i not in labels]
        wrong = [name for name, label in table.items() if not 0 <= label < len(self.CLASSES)]
        if missing or wrong:
            raise LabelsError(
                f'{file}: {len(missing)} photographs have no label (first '
                f'{missing[:3]}), {len(wrong)} labels are outside 0 to {len(self.CLASSES) - 1} '
                f'(first {wrong[:3]})'
            )
        if gone:
            print_log(
                f'{file} has labels of {len(gone):,} photographs that are not in {self.folder}, '
                f'first {first_names(gone)}: they are left out',
                'current',
                logging.WARNING,
            )
        return [labels[i] for i in range(len(names))]

    def _listed(self, file: Path, names: list[str]) -> list[int]:
        if not file.is_file():
            raise FileNotFoundError(f'label_list {file} does not exist')
        return sorted(find_entries(file, self.folder, names))
