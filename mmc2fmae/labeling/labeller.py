"""From photographs to both label maps: detect, threshold, segment, merge, classify (III-A)."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from mmc2fmae.label_ids import IGNORE
from mmc2fmae.labeling.detection import Detections
from mmc2fmae.labeling.instances import (
    ThresholdSchedule,
    adaptive_threshold,
    compose_instances,
    distinct_boxes,
)
from mmc2fmae.labeling.models import UnusableOutput
from mmc2fmae.labeling.photographs import Photograph
from mmc2fmae.labeling.semantics import SemanticLabeller, SemanticMap


class Detector(Protocol):
    """Finds what is named; :class:`~mmc2fmae.labeling.detection.GroundingDinoDetector`."""

    def __call__(
        self, images: Sequence[np.ndarray], names: Sequence[Sequence[str]], floor: float
    ) -> list[Detections]:
        """Return the detections of each image that score ``floor`` or more."""


class Segmenter(Protocol):
    """Turns boxes into masks; :class:`~mmc2fmae.labeling.segmentation.SamHqSegmenter`."""

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return (n, h, w) boolean masks of each image's (n, 4) boxes."""


@dataclass(frozen=True)
class MergeOptions:
    """How detections become an instance map.

    Attributes:
        schedule: The adaptive threshold.
        box_iou: Boxes that overlap a better one by more are duplicates.
        mask_iou: Masks that overlap a better one by more are duplicates.
        min_area: Share of the image below which an instance is a speck.
    """

    schedule: ThresholdSchedule = field(default_factory=ThresholdSchedule)
    box_iou: float = 0.8
    mask_iou: float = 0.7
    min_area: float = 0.001


class Labels(NamedTuple):
    """The maps of a photograph and what is recorded of them.

    Args:
        instance: (h, w) uint8 canonical ids in stored size.
        semantic: (h, w) uint8 class ids in stored size, 255 = unknown.
        record: Line of the manifest without path and models.
    """

    instance: np.ndarray
    semantic: np.ndarray
    record: dict[str, Any]


def choose(found: Detections, merge: MergeOptions) -> tuple[float, np.ndarray]:
    """Drop boxes that repeat a better one, then those below the image's own threshold.

    Returns:
        The threshold used and the indices that are kept, by descending score.
    """
    distinct = distinct_boxes(found.boxes, found.scores, merge.box_iou)
    scores = found.scores[distinct]
    threshold = adaptive_threshold(scores, merge.schedule)
    return threshold, distinct[scores >= threshold]


def to_stored_size(labels: np.ndarray, photo: Photograph) -> np.ndarray:
    """Turn a map of working size to the stored pixels and enlarge it; no id is invented."""
    labels = photo.as_stored(labels)
    if labels.shape == (photo.height, photo.width):
        return labels
    size = (photo.width, photo.height)
    return cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)


def merge_instances(
    photo: Photograph,
    found: Detections,
    names: Sequence[str],
    masks: np.ndarray,
    merge: MergeOptions,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Merge the masks of a photograph into its instance map.

    Args:
        photo: The photograph.
        found: The n detections behind the masks.
        names: Names that were asked for; classes of ``found`` index them.
        masks: (n, h, w) boolean, at working size.
        merge: Options.

    Returns:
        (height, width) uint8 canonical ids (D10), and per id its name, score, box and area.
    """
    merged = compose_instances(masks, found.scores, merge.min_area, merge.mask_iou)
    labels = to_stored_size(merged.labels, photo)
    # Enlarging may change which of two areas is larger, so ids are settled in stored size.
    areas = np.bincount(labels.ravel(), minlength=len(merged.kept) + 1)[1:]
    order = np.argsort(-areas, kind='stable')
    rank = np.zeros(len(areas) + 1, np.uint8)
    rank[order + 1] = np.arange(1, len(areas) + 1)
    instances = []
    for number, k in enumerate(order.tolist(), start=1):
        i = merged.kept[k]
        instances.append(
            dict(
                id=number,
                name=names[found.classes[i]],
                score=round(float(found.scores[i]), 4),
                box=[round(x, 1) for x in photo.box_as_stored(found.boxes[i].tolist())],
                area=int(areas[k]),
            )
        )
    return rank[labels], instances


@dataclass(frozen=True)
class Labeller:
    """The three models and what joins them.

    Attributes:
        detector: Finds boxes.
        segmenter: Turns boxes into masks.
        semantic: Names every pixel.
        merge: Options of the instance map.
        batch_size: Photographs whose masks are in memory at a time.
    """

    detector: Detector
    segmenter: Segmenter
    semantic: SemanticLabeller
    merge: MergeOptions
    batch_size: int = 8

    def __call__(
        self, photos: Sequence[Photograph], names: Sequence[Sequence[str]], pool: Executor
    ) -> list[Labels]:
        """Label photographs; the same call gives the same bytes.

        Args:
            photos: Photographs.
            names: What to look for in each.
            pool: Threads that merge masks while the models go on.

        Raises:
            UnusableOutput: A model gave no numbers for a photograph; its ``index`` tells which.
        """
        images = [photo.pixels for photo in photos]
        found = self.detector(images, names, self.merge.schedule.floor)
        chosen = [choose(one, self.merge) for one in found]
        kept = [one.take(keep) for one, (_, keep) in zip(found, chosen, strict=True)]
        pending = []
        for start in range(0, len(photos), self.batch_size):
            part = slice(start, start + self.batch_size)
            try:
                masks = self.segmenter(images[part], [one.boxes for one in kept[part]])
            except UnusableOutput as error:
                error.index += start
                raise
            pending += [
                pool.submit(merge_instances, photo, one, named, mask, self.merge)
                for photo, one, named, mask in zip(
                    photos[part], kept[part], names[part], masks, strict=True
                )
            ]
        semantic = self.semantic(images)
        merged = [future.result() for future in pending]
        return [
            _labels(*parts) for parts in zip(photos, found, chosen, merged, semantic, strict=True)
        ]


def _labels(
    photo: Photograph,
    found: Detections,
    chosen: tuple[float, np.ndarray],
    merged: tuple[np.ndarray, list[dict]],
    semantic: SemanticMap,
) -> Labels:
    (threshold, kept), (instance, instances) = chosen, merged
    classes = to_stored_size(semantic.labels, photo)
    record = dict(
        width=photo.width,
        height=photo.height,
        instances=instances,
        threshold=round(threshold, 4),
        detections=len(kept),
        chunks=found.chunks,
        coverage=round(np.count_nonzero(instance) / instance.size, 4),
        semantic_score=round(float(semantic.score), 4),
        semantic_coverage=round(np.count_nonzero(classes != IGNORE) / classes.size, 4),
    )
    return Labels(instance, classes, record)
