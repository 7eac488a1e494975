"""Read a sample and pack it into tensors: the two ends of the pipeline."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mmc2fmae.datasets.encoded import EncodedPhotograph
from mmc2fmae.datasets.sample_io import (
    read_continuous_map,
    read_encoded,
    read_label_map,
    read_turned,
)
from mmc2fmae.errors import SampleError
from mmc2fmae.images.orientation import turn
from mmc2fmae.label_ids import IGNORE, check_num_classes


@TRANSFORMS.register_module()
class LoadMultiGranular(BaseTransform):
    """Read a photograph and its label maps and check that they belong together.

    Maps show the stored pixels of their photograph (:mod:`mmc2fmae.preflight.orientation`); where
    EXIF data turn it, they are turned with it.

    Args:
        num_classes: Number of classes of the granularities whose ids are classes, for example
            ``dict(semantic=133)``; larger ids, but for 255 (unknown), are an error.
        continuous: Granularities whose maps hold a quantity, such as depth, and no ids.
        dali: Let a training decode ordinary JPEGs by DALI (:mod:`mmc2fmae.engine.dali`), which sets
            ``encoded`` for that: until then, and everywhere else, nothing changes.
    """

    encoded = False  # whether ordinary JPEGs are passed on as they are

    def __init__(
        self,
        num_classes: dict | None = None,
        continuous: Sequence[str] = (),
        dali: bool = False,
    ) -> None:
        self.num_classes = dict(num_classes or {})
        self.continuous = tuple(continuous)
        self.dali = dali
        for granularity, number in self.num_classes.items():
            check_num_classes(granularity, number)

    def transform(self, results: dict) -> dict:
        """Add ``rgb`` (H, W, 3) uint8 and an (H, W) array per further granularity: ids or float32.

        ``rgb`` of an ordinary JPEG is an :class:`EncodedPhotograph` where these are asked for.

        Raises:
            SampleError: A file is unreadable, sizes differ, or a class id is out of range.
        """
        found = read_encoded(results['rgb_path']) if self.encoded else None
        results['rgb'], orientation = (found, 1) if found else read_turned(results['rgb_path'])
        sides = results['rgb'].shape[:2]
        size = sides if orientation < 5 else sides[::-1]
        for granularity in results['granularities']:
            if granularity != 'rgb':
                labels = self._load_map(granularity, results, size)
                results[granularity] = labels if orientation == 1 else turn(labels, orientation)
        return results

    def _load_map(self, granularity: str, results: dict, size: tuple[int, int]) -> np.ndarray:
        path = results[f'{granularity}_path']
        read = read_continuous_map if granularity in self.continuous else read_label_map
        labels = read(path)
        height, width = size  # as stored
        if labels.shape != (height, width):
            raise SampleError(
                f'{granularity} map is {labels.shape[1]} x {labels.shape[0]}, its photograph '
                f'{{photograph}} is {width} x {height}',
                path,
                'make them equal (a photo with an EXIF rotation must be rotated for good first)',
                results['rgb_path'],
            )
        limit = self.num_classes.get(granularity)
        if limit is None:
            return labels
        if labels.max() >= limit:
            ids = np.unique(labels)
            unknown = ids[(ids >= limit) & (ids != IGNORE)]
            if len(unknown):
                raise SampleError(
                    f'{granularity} class ids {unknown[:5].tolist()} are out of range, '
                    f'expected 0 to {limit - 1} (or 255 for unknown)',
                    path,
                    'correct the map or the number of classes in the config',
                )
        return labels.astype(np.uint8, copy=False)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(num_classes={self.num_classes}, '
            f'continuous={self.continuous}, dali={self.dali})'
        )


@TRANSFORMS.register_module()
class PackMultiGranular(BaseTransform):
    """Turn a sample into plain tensors that the default collate stacks.

    The batch has ``inputs`` (rgb (B, 3, H, W) uint8, maps (B, h, w)), ``masks`` (B, N) per
    granularity with the ``mask_shares`` (B, 3) of the strategies, ``gt_label`` of labelled sets,
    and ``path`` and ``skipped`` strings.
    """

    def transform(self, results: dict) -> dict:
        """Return the packed sample; ``masks`` is absent where no mask was drawn."""
        inputs: dict[str, torch.Tensor | EncodedPhotograph] = {}
        for granularity in results['granularities']:
            value = results[granularity]
            if isinstance(value, EncodedPhotograph):
                inputs[granularity] = value
                continue
            if granularity == 'rgb':
                value = value.transpose(2, 0, 1)  # no copy where it comes from crop_pixels
            inputs[granularity] = torch.from_numpy(np.ascontiguousarray(value))
        path = str(results['rgb_path'])  # without the way to the bytes of a shard's file
        packed = dict(inputs=inputs, path=path, skipped=results['skipped'])
        if 'gt_label' in results:
            packed['gt_label'] = results['gt_label']
        if 'masks' in results:
            packed['masks'] = {g: torch.from_numpy(m) for g, m in results['masks'].items()}
        if 'mask_shares' in results:
            packed['mask_shares'] = torch.from_numpy(results['mask_shares'])
        return packed

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
