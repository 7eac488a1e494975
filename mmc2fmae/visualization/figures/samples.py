"""Samples of a dataset: photographs with their instance and semantic maps (appendix)."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import Compose
from mmpretrain.registry import TRANSFORMS

from mmc2fmae.errors import DatasetError
from mmc2fmae.visualization.figures.granularities import Painter
from mmc2fmae.visualization.figures.inputs import Sample
from mmc2fmae.visualization.figures.page import WIDTH, Page


def draw_samples(
    samples: Sequence[Sample],
    class_names: Sequence[str] = (),
    across: int = 2,
    size: int = 224,
    width: float = WIDTH,
) -> Page:
    """Draw samples side by side, each its photograph and its maps, the centre square.

    Args:
        samples: Photographs with their maps; all have the same granularities.
        class_names: Names of the semantic classes.
        across: Samples in a row.
        size: Side of a picture in pixels; smaller ones are enlarged.
        width: Most inches across.

    Raises:
        DatasetError: A sample lacks a map that others have.
        SampleError: A file is unreadable, or sizes differ.
    """
    names = list(samples[0].files)
    for sample in samples:
        if set(sample.files) != set(names):
            raise DatasetError(f'{sample.name} has {list(sample.files)}, others have {names}')
    steps = [
        dict(type='LoadMultiGranular'),
        dict(type='JointCenterCrop', size=size, label_stride=1),
        dict(type='PackMultiGranular'),
    ]
    if 'instance' in names:  # any numbering becomes 1 for the largest, 2 for the next
        steps.insert(2, dict(type='CanonicalInstances', num_instances=255, rerank=True))
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    painter, pictures = Painter(class_names), []
    for sample in samples:
        paths = {f'{name}_path': path for name, path in sample.files.items()}
        info = dict(paths, granularities=names, rng=np.random.default_rng(0), skipped='')
        inputs = pipeline(info)['inputs']
        pictures.append([painter.paint(n, torch.as_tensor(inputs[n]), size) for n in names])
    across = min(across, len(samples))
    page = Page(
        [('', names)] * across,
        [''] * -(-len(samples) // across),
        size,
        legend=painter.legend(),
        captions=True,
        width=width,
    )
    for i, tiles in enumerate(pictures):
        row, first = i // across, (i % across) * len(names)
        for column, picture in enumerate(tiles, first):
            page.show(row, column, picture)
        page.caption(row, first, samples[i].name)
    return page
