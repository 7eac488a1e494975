"""From an image's detections to its instance map: threshold, duplicates, overlaps, ids."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from pycocotools import mask as rle
from torchvision.ops import nms


@dataclass(frozen=True)
class ThresholdSchedule:
    """Confidence from which detections count, lowered for images with too few of them.

    The paper (III-A) names no numbers. Public uses of Grounding DINO work at 0.25 to 0.35; ours
    starts above that range, for clearly visible objects alone, and ends at its lower bound.

    Args:
        start: Highest threshold, in (0, 1].
        step: How much to go down at a time.
        floor: Lowest threshold, in (0, start].
        min_detections: Detections that are enough.

    Raises:
        ValueError: A value is out of range.
    """

    start: float = 0.5
    step: float = 0.05
    floor: float = 0.25
    min_detections: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.floor <= self.start <= 1 and self.step > 0 and self.min_detections >= 1):
            raise ValueError(
                f'{self}: expected 0 < floor <= start <= 1, step > 0 and min_detections >= 1'
            )

    def thresholds(self) -> list[float]:
        """Return start, start - step, start - 2 step, ... and, last, the floor."""
        # From the start each time, and rounded: 0.5 - 3 x 0.05 is 0.35.
        number = math.ceil(round((self.start - self.floor) / self.step, 9))
        return [*(round(self.start - k * self.step, 9) for k in range(number)), self.floor]


class InstanceMap(NamedTuple):
    """The instances of an image.

    Args:
        labels: (h, w) uint8 ids: 0 = background, 1 = the largest, 2 the next, ... (D10).
        kept: Detection behind each id: ``kept[i]`` is the index of the mask that became id i + 1.
    """

    labels: np.ndarray
    kept: tuple[int, ...]


def adaptive_threshold(scores: np.ndarray, schedule: ThresholdSchedule) -> float:
    """Return the highest threshold of the schedule that enough detections reach.

    Detections count from the threshold on (``scores >= threshold``). Duplicates would count twice:
    give the scores of distinct boxes.

    Args:
        scores: (n,) confidences.
        schedule: Thresholds start, start - step, start - 2 step, ..., floor.

    Returns:
        The threshold; the floor where not even there are enough detections.

    Raises:
        ValueError: A score is not finite.
    """
    scores = _finite(scores)
    for threshold in schedule.thresholds():
        if np.count_nonzero(scores >= threshold) >= schedule.min_detections:
            break
    return threshold


def distinct_boxes(boxes: np.ndarray, scores: np.ndarray, iou: float = 0.8) -> np.ndarray:
    """Drop boxes that overlap a box of higher score, whatever their classes.

    A detector that is asked for several names or synonyms finds one object several times.

    Args:
        boxes: (n, 4) x1, y1, x2, y2.
        scores: (n,) confidences; of equal ones the first box is kept.
        iou: Largest overlap of two objects. Above it, segmenting both would be a waste; what it
            leaves, :func:`compose_instances` judges by masks.

    Returns:
        (m,) indices of the boxes that stay, by descending score.

    Raises:
        ValueError: A score is not finite.
    """
    order = np.argsort(-_finite(scores), kind='stable')
    ranks = torch.arange(len(order), 0, -1, dtype=torch.float32)  # scores without ties
    return order[nms(torch.from_numpy(np.asarray(boxes, np.float32)[order]), ranks, iou).numpy()]


def without_islands(mask: np.ndarray, min_pixels: int) -> np.ndarray:
    """Remove the connected parts of a mask (8 neighbours) that are smaller than ``min_pixels``.

    Args:
        mask: (h, w) bool.
        min_pixels: Size of the smallest part that stays.

    Returns:
        (h, w) bool; the mask itself where nothing goes.
    """
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))  # most objects are small
    if not width:
        return mask
    inside = mask[y : y + height, x : x + width]
    _, parts = cv2.connectedComponents(inside.view(np.uint8), connectivity=8)
    stays = np.bincount(parts[inside]) >= min_pixels  # [0], the background, has none: it goes
    if stays[1:].all():
        return mask
    kept = np.zeros_like(mask)
    kept[y : y + height, x : x + width] = stays[parts]
    return kept


def compose_instances(
    masks: np.ndarray,
    scores: np.ndarray,
    min_area: float = 0.001,
    duplicate_iou: float = 0.7,
    max_instances: int = 255,
) -> InstanceMap:
    """Lay the masks of an image over each other as one map of instances.

    From the highest score down (of equal scores the smaller mask first, so that it is not hidden,
    then the lower index): a mask gets the pixels that no earlier one has. It is dropped, and hides
    nothing, if it duplicates an earlier one or too little of it is visible. Ids go by descending
    visible area, of equal areas by the order above (D10).

    Args:
        masks: (n, h, w) bool.
        scores: (n,) confidences.
        min_area: Smallest part of a mask, and smallest visible area of an instance, as a share of
            the image. 0.001 is about three pixels of the 56 x 56 label maps of pre-training.
        duplicate_iou: Overlap from which two masks are the same object.
        max_instances: Most instances, those of the highest scores; up to 255.

    Returns:
        The map and the detection behind each id. No masks: a map of background.

    Raises:
        ValueError: The arrays do not fit together, a score is not finite, or an option is out of
            range.
    """
    masks, scores = np.ascontiguousarray(masks), _finite(scores)
    if masks.dtype != bool or masks.ndim != 3 or scores.shape != masks.shape[:1]:
        raise ValueError(
            f'masks are {masks.dtype} {masks.shape}, scores {scores.shape}: expected bool '
            '(n, h, w) and (n,)'
        )
    if not (0 <= min_area < 1 and 0 < duplicate_iou <= 1 and 1 <= max_instances <= 255):
        raise ValueError(
            f'min_area {min_area}, duplicate_iou {duplicate_iou}, max_instances {max_instances}: '
            'expected values in [0, 1), (0, 1] and [1, 255]'
        )
    height, width = masks.shape[1:]
    min_pixels = max(1, round(min_area * height * width))
    cleaned = [without_islands(mask, min_pixels) for mask in masks]
    # Run lengths compare many large masks in milliseconds. They go down the columns, hence the
    # transposed masks: their columns lie in memory one after the other.
    runs = [rle.encode(mask.T.view(np.uint8)) for mask in cleaned]
    overlaps = rle.iou(runs, runs, [0] * len(runs))
    labels = np.zeros((height, width), dtype=np.uint8)
    kept: list[int] = []
    areas: list[int] = []
    sizes = [rle.area(run) for run in runs]  # one by one: pycocotools fails at 256 or more at once
    for i in np.lexsort((sizes, -scores)).tolist():
        if len(kept) == max_instances:
            break
        visible = cleaned[i] & (labels == 0)
        area = int(np.count_nonzero(visible))
        if area >= min_pixels and not (overlaps[i, kept] >= duplicate_iou).any():
            kept.append(i)
            areas.append(area)
            labels[visible] = len(kept)
    order = np.argsort(-np.array(areas, dtype=int), kind='stable')
    ids = np.zeros(len(kept) + 1, dtype=np.uint8)
    ids[order + 1] = np.arange(1, len(kept) + 1)
    return InstanceMap(ids[labels], tuple(kept[i] for i in order))


def _finite(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError(
            f'{np.count_nonzero(~np.isfinite(scores))} of {scores.size} scores are not finite: the '
            'detector failed (a prompt that is too long, or half precision)'
        )
    return scores
