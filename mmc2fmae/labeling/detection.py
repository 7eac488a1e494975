"""Boxes of named objects by Grounding DINO (III-A, first stage)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from mmc2fmae.labeling.models import DETECTOR, PublishedModel, UnusableOutput, batches
from mmc2fmae.labeling.prompts import PromptChunk, chunk_prompts

MAX_ASPECT = 16
"""Slimmer images are widened for the detector: it has more queries than they give it tokens."""


class Detections(NamedTuple):
    """Boxes in an image, by descending score.

    Args:
        boxes: (n, 4) float32 corners x1, y1, x2, y2 in pixels, inside the image, none empty.
        scores: (n,) float32 in [0, 1].
        classes: (n,) int64 indices into the names that were asked for.
        chunks: Number of prompts that the names took.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    chunks: int

    def take(self, indices: np.ndarray) -> 'Detections':
        """Return the detections at these indices."""
        return Detections(
            self.boxes[indices], self.scores[indices], self.classes[indices], self.chunks
        )


def score_classes(logits: Tensor, tokens: Sequence[Sequence[int]]) -> Tensor:
    """Score each class of a prompt by the best of its own tokens, never by delimiters.

    Args:
        logits: (queries, positions) of a prompt.
        tokens: Positions of the tokens of each of K classes.

    Returns:
        (queries, K) scores in [0, 1].
    """
    scores = logits.sigmoid()
    return torch.stack([scores[:, list(own)].amax(dim=1) for own in tokens], dim=1)


def decode(
    logits: Tensor, boxes: Tensor, tokens: Sequence[Sequence[int]], size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the output for one image and prompt into boxes, scores and classes of the prompt.

    Args:
        logits: (queries, positions).
        boxes: (queries, 4) centre, width and height as shares of the input image.
        tokens: Positions of the tokens of each class of the prompt.
        size: Width and height of the input image in pixels.

    Returns:
        (queries, 4) corners in pixels, (queries,) scores and (queries,) places in ``tokens``.
    """
    scores, classes = score_classes(logits, tokens).max(dim=1)
    corners = box_convert(boxes, 'cxcywh', 'xyxy') * boxes.new_tensor([*size, *size])
    return corners, scores, classes


class GroundingDinoDetector(PublishedModel):
    """Finds boxes of named objects in images.

    An item is an image with one of its prompts. Items share a batch only if their images have
    one size at the model's input, so that none is padded: the output is that of each image alone,
    to rounding.

    Args:
        model: Folder or hub id.
        device: Where it runs.
        amp: Type of mixed precision, or None for float32.
        batch_size: Most items at a time.
    """

    def __init__(
        self,
        model: str = DETECTOR,
        device: str | torch.device = 'cpu',
        amp: torch.dtype | None = None,
        batch_size: int = 8,
    ) -> None:
        classes = ('GroundingDinoForObjectDetection', 'GroundingDinoImageProcessor')
        super().__init__(model, classes, device, amp, batch_size, tokenizer=True)

    @torch.inference_mode()
    def __call__(
        self, images: Sequence[np.ndarray], names: Sequence[Sequence[str]], floor: float
    ) -> list[Detections]:
        """Detect what is named.

        Args:
            images: (h, w, 3) uint8 RGB each.
            names: Class names to look for in each image; synonyms comma separated.
            floor: Lowest score that is kept.

        Raises:
            UnusableOutput: Boxes or scores of an image are not finite.
            ValueError: A single name fills more than a prompt.
        """
        prompts = {asked: self.prompts(asked) for asked in set(map(tuple, names))}
        items = [(i, chunk) for i, asked in enumerate(names) for chunk in prompts[tuple(asked)]]
        wide = [widen(image) for image in images]
        found: list[list[tuple[np.ndarray, ...]]] = [[] for _ in images]
        sizes = [self.input_size(image) for image in wide]
        for batch in batches([sizes[i] for i, _ in items], self.batch_size):
            pairs = [items[k] for k in batch]
            outputs = self._forward([wide[i] for i, _ in pairs], [chunk.text for _, chunk in pairs])
            for (i, chunk), logits, shares in zip(pairs, *outputs, strict=True):
                height, width = wide[i].shape[:2]
                decoded = decode(logits, shares, chunk.tokens, (width, height))
                boxes, scores, _ = decoded
                if not (boxes.isfinite().all() and scores.isfinite().all()):
                    raise UnusableOutput('boxes or scores', i)
                keep = scores >= floor
                *kept, places = (part[keep].cpu().numpy() for part in decoded)
                found[i].append((*kept, np.asarray(chunk.classes)[places]))
        return [
            _join(parts, image.shape[1], image.shape[0])
            for parts, image in zip(found, images, strict=True)
        ]

    def prompts(self, names: Sequence[str]) -> list[PromptChunk]:
        """Write names as prompts; see :func:`~mmc2fmae.labeling.prompts.chunk_prompts`.

        Args:
            names: Class names to look for in an image; synonyms comma separated.

        Raises:
            ValueError: A single name fills more than a prompt.
        """
        return chunk_prompts(names, self._offsets, self.model.config.max_text_len) if names else []

    def _offsets(self, text: str) -> list[tuple[int, int]]:
        return self.tokenizer(text, return_offsets_mapping=True)['offset_mapping']

    def _forward(self, images: list[np.ndarray], texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return logits (items, queries, positions) and boxes (items, queries, 4) in float32."""
        pixels = self.preprocess(images)
        text = self.tokenizer(texts, padding=True, return_tensors='pt').to(self.device)
        with self.autocast():
            output = self.model(**pixels, **text)
        return output.logits.float(), output.pred_boxes.float()


def widen(image: np.ndarray) -> np.ndarray:
    """Repeat the last row or column until no side is more than :data:`MAX_ASPECT` of the other."""
    height, width = image.shape[:2]
    least = -(-max(height, width) // MAX_ASPECT)
    pad = [(0, max(least - height, 0)), (0, max(least - width, 0)), (0, 0)]
    return np.pad(image, pad, mode='edge')


def _join(parts: Sequence[tuple[np.ndarray, ...]], width: int, height: int) -> Detections:
    """Join what an image's prompts found: clamp, drop empty boxes, sort by descending score."""
    empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    boxes, scores, classes = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
    order = np.argsort(-scores, kind='stable')
    order = order[(boxes[order, 2:] > boxes[order, :2]).all(axis=1)]
    return Detections(boxes, scores, classes, len(parts)).take(order)
