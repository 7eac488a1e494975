"""What training reads: the data sets and their transforms."""

from mmc2fmae.datasets.image_folders import ImageFolders
from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.datasets.progress import DataProgress
from mmc2fmae.datasets.samplers import ShardSampler
from mmc2fmae.datasets.transforms import (
    CanonicalInstances,
    JointCenterCrop,
    JointRandomFlip,
    JointRandomResizedCrop,
    KeyedRandomness,
    LoadMultiGranular,
    PackMultiGranular,
    ProgressiveMasking,
    SemanticFromInstance,
)

__all__ = [
    'CanonicalInstances',
    'DataProgress',
    'ImageFolders',
    'JointCenterCrop',
    'JointRandomFlip',
    'JointRandomResizedCrop',
    'KeyedRandomness',
    'LoadMultiGranular',
    'MultiGranularDataset',
    'PackMultiGranular',
    'ProgressiveMasking',
    'SemanticFromInstance',
    'ShardSampler',
]
