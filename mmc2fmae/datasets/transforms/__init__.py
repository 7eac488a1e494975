"""Transforms of the multi-granular pipeline: load, colour, crop, flip, labels, mask, pack."""

from mmc2fmae.datasets.transforms.colour import RandomColour
from mmc2fmae.datasets.transforms.geometry import (
    JointCenterCrop,
    JointRandomFlip,
    JointRandomResizedCrop,
    crop_labels,
)
from mmc2fmae.datasets.transforms.keyed import KeyedRandomness
from mmc2fmae.datasets.transforms.labels import CanonicalInstances, SemanticFromInstance
from mmc2fmae.datasets.transforms.loading import LoadMultiGranular, PackMultiGranular
from mmc2fmae.datasets.transforms.masking import ProgressiveMasking
from mmc2fmae.datasets.transforms.resizing import BoundedResizeEdge

__all__ = [
    'BoundedResizeEdge',
    'CanonicalInstances',
    'JointCenterCrop',
    'JointRandomFlip',
    'JointRandomResizedCrop',
    'KeyedRandomness',
    'LoadMultiGranular',
    'PackMultiGranular',
    'ProgressiveMasking',
    'RandomColour',
    'SemanticFromInstance',
    'crop_labels',
]
