"""Every check of data and model before a run: hooks, boxes, masks."""

from mmc2fmae.preflight.hooks import DatasetCheckHook, PreflightHook

__all__ = ['DatasetCheckHook', 'PreflightHook']
