"""Photographs that leave the data workers encoded: what trains decodes, crops and mirrors them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""


@dataclass(frozen=True)
class EncodedPhotograph:
    """An ordinary JPEG, and what the transforms made of it.

    Args:
        content: The file.
        shape: Height and width that it has once all is done.
        box: What is cropped out, None before the crop.
        mirrored: Whether it is mirrored after the crop.
    """

    content: bytes
    shape: tuple[int, int]
    box: Box | None = None
    mirrored: bool = False

    def crop(self, box: Box, size: tuple[int, int]) -> 'EncodedPhotograph':
        """Return the photograph cropped to a box and resized to ``size`` (height, width)."""
        return replace(self, shape=size, box=box)

    def mirror(self) -> 'EncodedPhotograph':
        """Return the photograph mirrored from left to right."""
        return replace(self, mirrored=not self.mirrored)


def collate_encoded(collate: Callable[[list], Any], samples: Sequence[dict]) -> dict:
    """Collate samples as ever, but keep their photographs a list.

    Args:
        collate: What collates everything else.
        samples: Samples of PackMultiGranular; ``inputs['rgb']`` is an :class:`EncodedPhotograph`
            or, where the worker decoded it, (3, h, w) uint8.
    """
    photographs = [sample['inputs']['rgb'] for sample in samples]
    rest: list[dict[str, Any]] = [
        sample | dict(inputs={k: v for k, v in sample['inputs'].items() if k != 'rgb'})
        for sample in samples
    ]
    batch: dict = collate(rest)
    return batch | dict(inputs=dict(rgb=photographs, **batch['inputs']))
