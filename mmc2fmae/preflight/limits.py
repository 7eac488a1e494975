"""What of the data a model cannot tell, whatever it learns: objects too many or too small for it.

Nothing of this stops a run: metrics and losses are computed, and silently bounded.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from torch import nn

from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.datasets.transforms import CanonicalInstances, ProgressiveMasking
from mmc2fmae.errors import SampleError
from mmc2fmae.files import evenly
from mmc2fmae.label_ids import canonical_ids
from mmc2fmae.masking.strategies import patch_labels
from mmc2fmae.preflight.photographs import parts_of

COCO_COUNTS = 100
"""Detections of a class in a photograph that COCO's AP counts."""

FEW = 0.01
"""Share of the pixels of objects that may be lost without a word."""


def objects_out_of_reach(model: nn.Module, dataset, most: int = 16) -> list[str]:
    """Say which objects a detector cannot find: more than it returns, smaller than its patches.

    Args:
        model: Detector of MMDetection; another model has nothing to say.
        dataset: What it is measured by.
        most: Photographs, evenly spaced, whose resizing is looked at.

    Returns:
        Sentences, none where all is well.
    """
    model = getattr(model, 'module', model)
    bounds = dict(_bounds(getattr(model, 'test_cfg', None) or {}))
    if not bounds:
        return []
    from mmdet.datasets import BaseDetDataset

    notes: list[str] = []
    for part in parts_of(dataset):
        if not isinstance(part, BaseDetDataset):
            continue
        objects = [_objects(part.get_data_info(i)) for i in range(len(part))]
        labels = [np.array([o['bbox_label'] for o in found], dtype=int) for found in objects]
        name = part.ann_file or type(part).__name__
        notes += _too_many(name, labels, bounds)
        patch = getattr(getattr(model, 'backbone', None), 'patch_size', None)
        if isinstance(patch, int):
            notes += _too_small(name, part, patch, most)
    return notes


def _bounds(test_cfg: Mapping[str, Any], name: str = 'model.test_cfg') -> Iterator[tuple[str, int]]:
    for key, value in test_cfg.items():
        if key == 'max_per_img' and isinstance(value, int) and value > 0:
            yield f'{name}.{key}', value
        elif isinstance(value, Mapping):
            yield from _bounds(value, f'{name}.{key}')


def _objects(info: Mapping[str, Any]) -> list[dict]:
    """Return the objects of a photograph, crowds left out."""
    return [one for one in info.get('instances', ()) if not one.get('ignore_flag')]


def _too_many(name: str, labels: list[np.ndarray], bounds: Mapping[str, int]) -> Iterator[str]:
    """Compare the classes of the objects of each photograph with what can be found in one."""
    field, returned = min(bounds.items(), key=lambda bound: bound[1])
    classes = [np.bincount(found) for found in labels]
    there = np.array([number.sum() for number in classes])
    counted = np.array([np.minimum(number, COCO_COUNTS).sum() for number in classes])
    share = np.minimum(counted, returned).sum() / max(there.sum(), 1)
    why, fixes = [], []
    if counted.max(initial=0) > returned:
        why.append(f'{field}={returned}')
        fixes.append(f'set {field}={counted.max()}')
    if (counted < there).any():
        why.append(f'AP counts {COCO_COUNTS} of a class in each')
        fixes.append('cut crowded photographs into tiles')
    if why:
        yield (
            f'{name}: photographs hold up to {there.max():,} objects, of all {share:.0%} can be '
            f'found at best ({", ".join(why)}): {", and ".join(fixes)}'
        )


def _too_small(name: str, part, patch: int, most: int) -> Iterator[str]:
    sides: list[float] = []
    resized = ''
    for i in evenly(range(len(part)), most):
        sample = part.prepare_data(i)
        meta = getattr(sample and sample.get('data_samples'), 'metainfo', {})
        if 'scale_factor' not in meta:
            return
        across, down = meta['scale_factor'][:2]
        corners = [one['bbox'] for one in _objects(part.get_data_info(i))]  # x1, y1, x2, y2
        boxes = np.array(corners, dtype=float).reshape(-1, 4)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * across * down
        sides += np.sqrt(areas).tolist()
        resized = resized or ' x '.join(map(str, meta['img_shape'][1::-1]))
    middle = float(np.median(sides)) if sides else patch
    if middle < patch:
        yield (
            f'{name}: half of the objects are smaller than {middle:.1f} pixels across where '
            f'photographs are resized (to {resized}, ...), and a patch of the encoder has {patch}: '
            'give the pipelines a larger scale, cut photographs into tiles, or pre-train with '
            'smaller patches'
        )


def instances_out_of_reach(dataset, most: int = 32) -> list[str]:
    """Say which instances a pre-training does not see: beyond those told apart, without a patch.

    Args:
        dataset: To pre-train on.
        most: Samples to look at, evenly spaced, as the pipeline crops them.

    Returns:
        Sentences: where more than :data:`FEW` of the pixels of objects become background, and
        where most instances are no patch's most frequent one (D7), so that no mask follows them.
    """
    notes: list[str] = []
    for part in parts_of(dataset):
        steps = list(getattr(getattr(part, 'pipeline', None), 'transforms', ()))
        place = next((i for i, s in enumerate(steps) if isinstance(s, CanonicalInstances)), None)
        if not isinstance(part, MultiGranularDataset) or place is None:
            continue
        canonical, name = steps[place], part.data_prefix.get('instance')
        samples = [s for s in _samples(part, Compose(steps[:place]), most) if 'instance' in s]
        maps = [s['instance'] for s in samples]
        maps = [canonical_ids(labels) for labels in maps] if canonical.rerank else maps
        notes += _too_numerous(f'{name}', maps, canonical.num_instances)
        for masking in steps[place:]:
            if isinstance(masking, ProgressiveMasking) and masking.curriculum(0.5)[1]:
                strides = [len(s['rgb']) // len(s['instance']) for s in samples]
                cells = [masking.patch_size // stride for stride in strides]
                notes += _without_patch(f'{name}', maps, cells, masking.patch_size)
    return notes


def _samples(part: MultiGranularDataset, before: Compose, most: int) -> Iterator[dict]:
    for i in evenly(range(len(part)), most):
        try:
            yield before(part.get_data_info(i))
        except SampleError:  # passed over, as the run does
            continue


def _too_numerous(name: str, maps: list[np.ndarray], number: int) -> Iterator[str]:
    pixels = sum(int(np.count_nonzero(labels)) for labels in maps)
    lost = sum(int(np.count_nonzero(labels >= number)) for labels in maps)
    if lost > FEW * pixels:
        highest = max(int(labels.max()) for labels in maps)
        yield (
            f'{name}: samples hold instances up to number {highest}, and {number - 1} are told '
            f'apart: {lost / pixels:.0%} of the pixels of objects count as background; give --set '
            f'CanonicalInstances.num_instances={min(highest + 1, 255)} and '
            'model.backbone.granularities.instance.num_classes the same number, or smaller crops'
        )


def _without_patch(
    name: str, maps: list[np.ndarray], cells: list[int], patch: int
) -> Iterator[str]:
    there = seen = 0
    for labels, cell in zip(maps, cells, strict=True):
        there += int(np.count_nonzero(np.unique(labels)))
        seen += int(np.count_nonzero(np.unique(patch_labels(labels, cell))))
    if 2 * seen < there:
        yield (
            f'{name}: {1 - seen / there:.0%} of the instances in samples fill no patch of {patch} '
            'pixels, so that no instance-guided mask follows them: give smaller crops '
            '(JointRandomResizedCrop.scale) or --patch-size'
        )
