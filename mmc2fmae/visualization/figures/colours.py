"""Colours and names of label maps."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmc2fmae.label_ids import IGNORE
from mmc2fmae.preparation.layout import coco_panoptic_classes, read_label_info
from mmc2fmae.scenes.spec import PALETTE, STUFF, THINGS
from mmc2fmae.scenes.store import GENERATOR
from mmc2fmae.visualization.reconstruction import label_palette

COCO = 133
"""Number of COCO panoptic classes, which the paper's semantic maps have."""


def class_names(root: str | Path | None, num_classes: int | None) -> tuple[str, ...]:
    """Return the names of a dataset's semantic classes in the order of their ids.

    Args:
        root: Folder of the dataset; its ``labels.json``, or the ``meta.json`` of built-in scenes,
            tells.
        num_classes: Number of classes where it is known; 133 are COCO's panoptic ones.

    Returns:
        Names; () where nothing tells.

    Raises:
        DatasetError: ``labels.json`` is damaged.
    """
    if root is not None:
        info = read_label_info(root)
        if info:
            return info.semantic_classes
        if _are_scenes(Path(root, 'meta.json')):
            return (*THINGS, *STUFF)
    return coco_panoptic_classes() if num_classes == COCO else ()


def semantic_palette(names: Sequence[str]) -> np.ndarray:
    """Return (256, 3) uint8 colours of semantic ids; 255, unknown, is white.

    Args:
        names: Names of the classes: COCO's and the scenes' have colours of their own.
    """
    palette = label_palette().copy()
    own = ()
    if tuple(names) == (*THINGS, *STUFF):
        own = PALETTE
    elif len(names) == COCO and tuple(names) == coco_panoptic_classes():
        from mmdet.datasets.coco_panoptic import CocoPanopticDataset

        own = CocoPanopticDataset.METAINFO['palette']
    if len(own):
        palette[: len(own)] = own
    return palette


def legend_of(
    ids: Sequence[int], names: Sequence[str], palette: np.ndarray
) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and colours of the ids that a figure shows; ids without a name are left out.

    Args:
        ids: Ids.
        names: Names by id.
        palette: (256, 3) colours.
    """
    known = {i: names[i] for i in sorted(ids) if i < len(names)}
    if known and IGNORE in ids:
        known[IGNORE] = 'unknown'
    return [(name, tuple(palette[i].tolist())) for i, name in known.items()]


def _are_scenes(path: Path) -> bool:
    try:
        return json.loads(path.read_text())['generator'] == GENERATOR
    except (OSError, ValueError, KeyError, TypeError):
        return False
