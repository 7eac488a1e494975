"""Every check of data and model before a run: hooks, boxes, masks."""

from mmc2fmae.preflight.coco_data import CheckedCocoDataset, CheckedCocoMetric
from mmc2fmae.preflight.hooks import DatasetCheckHook, PreflightHook

__all__ = ['CheckedCocoDataset', 'CheckedCocoMetric', 'DatasetCheckHook', 'PreflightHook']
