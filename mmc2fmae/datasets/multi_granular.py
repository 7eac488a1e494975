"""The multi-granular dataset: photographs with instance and semantic maps beside them."""

import logging
import os
from collections.abc import Sequence
from functools import partial

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmc2fmae.datasets.bundle_folders import is_remote, join_address
from mmc2fmae.datasets.bundles import Bundle, find_bundle
from mmc2fmae.datasets.class_folders import folder_names, labels_of_folders
from mmc2fmae.datasets.listing_cache import FolderScanner, Say, cached_listing
from mmc2fmae.datasets.photograph_lists import (
    find_entries,
    read_photograph_list,
    require_unique_stems,
)
from mmc2fmae.datasets.progress import DataProgress
from mmc2fmae.datasets.sample_tables import SampleTable
from mmc2fmae.errors import SampleError, first_names
from mmc2fmae.files import IMAGE_SUFFIXES, photographs_in, spelt_otherwise
from mmc2fmae.paths import expand_path


@DATASETS.register_module()
class MultiGranularDataset(BaseDataset):
    """Photographs and their label maps, paired by relative path without suffix.

    Reads ``<rgb>/<stem>.JPEG`` with ``<instance>/<stem>.png`` and ``<semantic>/<stem>.png``, in
    class folders as in ImageNet or flat. A photograph without its map is an error here, not in the
    middle of a run. Where the folder of the photographs is a bundle
    (:mod:`mmc2fmae.datasets.bundles`), all are read from its shards: the same samples in the same
    order.

    Args:
        data_root: Folder that the prefixes are relative to; of bundles also the address of one in
            an object store, such as ``s3://bucket/folder``.
        data_prefix: Folder of each granularity; must hold ``rgb``.
        pipeline: Transforms, as in every mmpretrain dataset.
        ann_file: Optional list of photographs, one a line, by their paths relative to the rgb
            folder; without it all photographs there are used, in sorted order. A file on a disk,
            below ``data_root`` where that is a folder.
        label_suffix: Suffix of the label maps.
        image_suffixes: Suffixes that count as photographs, lower case.
        classes: Names of the class folders in the order of the class indices ('imagenet' for the
            1,000 wnids), for samples with a ``gt_label``; None for samples without.
        on_error: 'raise' stops at an unreadable sample; 'skip' puts its successor in its place
            and reports it in the batch's ``skipped``.
        **kwargs: Passed to :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: A folder is missing or empty, or photographs lack a label map.
        DatasetError: Listed photographs are gone, or two of one stem would share their maps.
        ValueError: An option has an unknown value.
    """

    def __init__(
        self,
        data_root: str = '',
        data_prefix: dict | None = None,
        pipeline: Sequence = (),
        ann_file: str = '',
        label_suffix: str = '.png',
        image_suffixes: Sequence[str] = IMAGE_SUFFIXES,
        classes: Sequence[str] | str | None = None,
        on_error: str = 'raise',
        **kwargs,
    ) -> None:
        if data_prefix is None:
            data_prefix = dict(rgb='train', instance='instance/train', semantic='semantic/train')
        if 'rgb' not in data_prefix:
            raise ValueError(f"data_prefix has {list(data_prefix)}: expected a folder for 'rgb'")
        if on_error not in ('raise', 'skip'):
            raise ValueError(f"on_error is {on_error!r}: expected 'raise' or 'skip'")
        self.label_suffix = label_suffix
        self.image_suffixes = tuple(image_suffixes)
        self.on_error = on_error
        self.progress = DataProgress()
        self.bundle: Bundle | None = None
        kwargs.setdefault('serialize_data', False)  # a SampleTable is compact
        super().__init__(
            ann_file=ann_file,
            data_root=expand_path(data_root),
            data_prefix=dict(data_prefix),
            pipeline=pipeline,
            metainfo=dict(classes=tuple(folder_names(classes))),
            **kwargs,
        )

    def _join_prefix(self) -> None:
        if not is_remote(self.data_root):
            super()._join_prefix()
            return
        for granularity, folder in self.data_prefix.items():
            self.data_prefix[granularity] = join_address(self.data_root, folder)

    def load_data_list(self) -> SampleTable:
        """List the relative path of every photograph and check that its label maps exist."""
        self.bundle = find_bundle(self.data_prefix['rgb'])
        if self.bundle is not None:
            return self._list_bundle(self.bundle)
        for granularity, folder in self.data_prefix.items():
            if not os.path.isdir(folder):
                raise FileNotFoundError(
                    f'{granularity} folder {folder} does not exist; point --data-root at the '
                    'folder above it or set data_prefix (docs/data.md)'
                )
        say = partial(print_log, logger='current', level=logging.WARNING)
        if self.ann_file:
            return self._list(FolderScanner(), say)
        options = dict(
            dataset='MultiGranularDataset',
            folders={name: os.path.realpath(path) for name, path in self.data_prefix.items()},
            suffixes=[self.label_suffix, *self.image_suffixes],
            classes=list(self.CLASSES),
        )
        return cached_listing(options, self._list, say)

    def _list(self, scan: FolderScanner, say: Say) -> SampleTable:
        root = self.data_prefix['rgb']
        if self.ann_file:
            names = read_photograph_list(self.ann_file, root, self.image_suffixes)
        else:
            names = photographs_in(scan(root), root, self.image_suffixes, say)
        if not names:
            raise FileNotFoundError(
                f'no photographs in {self.ann_file or root}: expected files ending in '
                f'{", ".join(self.image_suffixes)}'
            )
        if self.label_granularities:
            require_unique_stems(root, names)
        for granularity in self.label_granularities:
            self._check_complete(granularity, names, scan)
        labels = labels_of_folders(root, names, self.CLASSES) if self.CLASSES else None
        return SampleTable.of(names, labels)

    def _list_bundle(self, bundle: Bundle) -> SampleTable:
        bundle.require(self.data_prefix)
        names, records = bundle.names, np.arange(len(bundle.names))
        if self.ann_file:
            records = np.array(find_entries(self.ann_file, bundle.address, names))
            names = names.take(records)
        labels = None
        if self.CLASSES:
            labels = np.array(labels_of_folders(bundle.address, names, self.CLASSES), np.int32)
        return SampleTable(names, labels, records=records.astype(np.int32))

    @property
    def shards(self) -> np.ndarray | None:
        """(N,) number of the shard that each sample lies in; None where files are read."""
        if self.bundle is None:
            return None
        records = getattr(self.data_list, 'records', None)
        if records is None:  # of a subset, which BaseDataset makes a list
            records = [BaseDataset.get_data_info(self, i)['record'] for i in range(len(self))]
        return self.bundle.shard_of[records]

    @property
    def label_granularities(self) -> list[str]:
        """Granularities that are label maps, in the order of ``data_prefix``."""
        return [g for g in self.data_prefix if g != 'rgb']

    def _check_complete(self, granularity: str, names: list[str], scan: FolderScanner) -> None:
        folder = self.data_prefix[granularity]
        there = set(scan(folder).files)
        missing = [n for n in names if os.path.splitext(n)[0] + self.label_suffix not in there]
        if missing:
            wanted = [os.path.splitext(n)[0] + self.label_suffix for n in missing]
            other = spelt_otherwise([os.path.join(folder, wanted[0])])
            raise FileNotFoundError(
                f'{len(missing)} of {len(names)} photographs have no {granularity} map in '
                f'{folder}, first: {first_names(wanted)}{other}; add them, or list the photographs '
                'to use in ann_file'
            )

    def get_data_info(self, idx: int) -> dict:
        """Return the sample's files, its keyed random generator and the training progress."""
        info = super().get_data_info(idx)
        if self.bundle is not None:
            files = self.bundle.files(info['record'], self.data_prefix)
            info.update({f'{granularity}_path': file for granularity, file in files.items()})
        else:
            stem = os.path.splitext(info['path'])[0]
            for granularity, folder in self.data_prefix.items():
                name = info['path'] if granularity == 'rgb' else stem + self.label_suffix
                info[f'{granularity}_path'] = os.path.join(folder, name)
        info.update(granularities=list(self.data_prefix), rng=self.progress.rng(idx))
        info.update(progress=self.progress.t, skipped='')
        return info

    def __getitem__(self, idx: int) -> dict:
        """Return the sample after the pipeline; see ``on_error`` for unreadable ones."""
        if self.on_error == 'raise':
            return self.prepare_data(idx)
        reasons: list[str] = []
        for successor in range(len(self)):
            info = self.get_data_info((idx + successor) % len(self))
            info.update(rng=self.progress.rng(idx), skipped='\n'.join(reasons))
            try:
                return self.pipeline(info)
            except SampleError as error:
                reasons.append(str(error))
        raise SampleError(f'no sample can be read; the first error was: {reasons[0]}')

    def try_samples(self, num_samples: int = 32) -> list[dict]:
        """Run evenly spaced samples through the pipeline, so that defects show before training.

        Args:
            num_samples: Samples to try, at most all; they run through the curriculum, too.

        Returns:
            The packed samples.

        Raises:
            SampleError: A sample is unusable and ``on_error`` is 'raise'.
        """
        count = min(num_samples, len(self))
        samples = []
        for i in range(count):
            self.progress.set(seed=0, epoch=0, t=i / max(count - 1, 1))
            samples.append(self[i * len(self) // count])
        return samples
