"""The colours of label maps in every picture, and the names that go with them."""

import colorsys
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from mmc2fmae.label_ids import IGNORE
from mmc2fmae.preparation.layout import coco_panoptic_classes, read_label_info
from mmc2fmae.scenes.spec import PALETTE, STUFF, THINGS
from mmc2fmae.scenes.store import GENERATOR
from mmc2fmae.texts import read_text

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


@cache
def label_palette() -> np.ndarray:
    """Return (256, 3) uint8 colours: id 0 dark, neighbours far apart in hue, 255 white."""
    colours: list[tuple[int, ...]] = [(40, 40, 48)]
    for i in range(1, 256):
        hue, value = (i * 0.618034) % 1.0, 0.95 - 0.35 * ((i // 5) % 3) / 2
        colours.append(tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.7, value)))
    palette = np.array(colours, dtype=np.uint8)
    palette[IGNORE] = 255
    return palette


def instance_colours(labels: np.ndarray) -> np.ndarray:
    """Colour instance ids of any size: 0 is dark, neighbouring ids are far apart in hue."""
    return label_palette()[np.where(labels > 0, (labels - 1) % (IGNORE - 1) + 1, 0)]


def semantic_palette(names: Sequence[str]) -> np.ndarray:
    """Return (256, 3) uint8 colours of semantic ids; 255, unknown, is white.

    Args:
        names: Names of the classes: COCO's and the scenes' have colours of their own.
    """
    palette = label_palette().copy()
    own: Sequence[tuple[int, ...]] = ()
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
        return json.loads(read_text(path))['generator'] == GENERATOR
    except (OSError, ValueError, KeyError, TypeError):
        return False
