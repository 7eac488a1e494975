"""What of the data a model cannot tell, whatever it learns: objects too many or too small for it.

Nothing of this stops a run: metrics and losses are computed, and silently bounded.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from torch import nn

from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.datasets.transforms.labels import CanonicalInstances
from mmc2fmae.errors import SampleError
from mmc2fmae.files import evenly
from mmc2fmae.label_ids import canonical_ids
from mmc2fmae.preflight.photographs import parts_of

COCO_COUNTS = 100
"""Detections of a photograph that COCO's AP counts."""

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
        infos = [part.get_data_info(i) for i in range(len(part))]
        counts = np.array([len(_boxes(info)) for info in infos])
        name = part.ann_file or type(part).__name__
        notes += _too_many(name, counts, bounds)
        patch = getattr(getattr(model, 'backbone', None), 'patch_size', None)
        if isinstance(patch, int) and counts.any():
            notes += _too_small(name, part, patch, most)
    return notes


def _bounds(test_cfg: Mapping[str, Any], name: str = 'model.test_cfg') -> Iterator[tuple[str, int]]:
    for key, value in test_cfg.items():
        if key == 'max_per_img' and isinstance(value, int) and value > 0:
            yield f'{name}.{key}', value
        elif isinstance(value, Mapping):
            yield from _bounds(value, f'{name}.{key}')


def _boxes(info: Mapping[str, Any]) -> np.ndarray:
    """Return the (n, 4) boxes of a photograph, x1, y1, x2, y2 in its pixels; crowds left out."""
    found = [one['bbox'] for one in info.get('instances', ()) if not one.get('ignore_flag')]
    return np.array(found, dtype=float).reshape(-1, 4)


def _too_many(name: str, counts: np.ndarray, bounds: Mapping[str, int]) -> Iterator[str]:
    field, returned = min(bounds.items(), key=lambda bound: bound[1])
    counted = min(returned, COCO_COUNTS)
    total = int(counts.sum())
    found = int(np.minimum(counts, counted).sum())
    if found == total:
        return
    fix = f'set {field}={min(int(counts.max()), COCO_COUNTS)}' if returned < COCO_COUNTS else ''
    tiles = 'cut crowded photographs into tiles' if counts.max() > COCO_COUNTS else ''
    why = f'{field}={returned}' if returned < COCO_COUNTS else f'AP counts {COCO_COUNTS} of one'
    yield (
        f'{name}: photographs hold up to {counts.max():,} objects, and at most {counted} of each '
        f'can be found ({why}), together {found / total:.0%} of all: '
        + ', and '.join(filter(None, (fix, tiles)))
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
        boxes = _boxes(part.get_data_info(i))
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


def instances_left_out(dataset, most: int = 32) -> list[str]:
    """Say how many instances a pre-training takes for background, since it tells too few apart.

    Args:
        dataset: To pre-train on.
        most: Samples to look at, evenly spaced, as the pipeline crops them.

    Returns:
        A sentence for each part where more than :data:`FEW` of the pixels of objects are lost.
    """
    notes = []
    for part in parts_of(dataset):
        steps = getattr(getattr(part, 'pipeline', None), 'transforms', ())
        place = [i for i, step in enumerate(steps) if isinstance(step, CanonicalInstances)]
        if not isinstance(part, MultiGranularDataset) or not place:
            continue
        step, before = steps[place[0]], Compose(list(steps[: place[0]]))
        pixels = lost = highest = 0
        for i in evenly(range(len(part)), most):
            try:
                labels = before(part.get_data_info(i)).get('instance')
            except SampleError:  # passed over, as the run does
                continue
            if labels is None:
                break
            labels = canonical_ids(labels) if step.rerank else labels
            highest = max(highest, int(labels.max()))
            pixels += int(np.count_nonzero(labels))
            lost += int(np.count_nonzero(labels >= step.num_instances))
        if lost > FEW * pixels:
            notes.append(
                f'{part.data_prefix["instance"]}: samples hold instances up to number {highest}, '
                f'and {step.num_instances - 1} are told apart: {lost / pixels:.0%} of the pixels '
                'of objects count as background; give --set '
                f'CanonicalInstances.num_instances={min(highest + 1, 255)} and model.backbone.'
                'granularities.instance.num_classes the same number, or smaller crops'
            )
    return notes
