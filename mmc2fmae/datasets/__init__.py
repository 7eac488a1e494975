"""Multi-granular data: the dataset, its transforms and the built-in scenes."""

from mmc2fmae.datasets.checks import DatasetError
from mmc2fmae.datasets.class_folders import LabelsError
from mmc2fmae.datasets.image_folders import ImageFolders
from mmc2fmae.datasets.label_ids import IGNORE
from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.datasets.preflight import DatasetCheckHook
from mmc2fmae.datasets.progress import DataProgress
from mmc2fmae.datasets.sample_io import SampleError
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
    'IGNORE',
    'CanonicalInstances',
    'DataProgress',
    'DatasetCheckHook',
    'DatasetError',
    'ImageFolders',
    'JointCenterCrop',
    'JointRandomFlip',
    'JointRandomResizedCrop',
    'KeyedRandomness',
    'LabelsError',
    'LoadMultiGranular',
    'MultiGranularDataset',
    'PackMultiGranular',
    'ProgressiveMasking',
    'SampleError',
    'SemanticFromInstance',
]
