"""What a run needs beside model and data: hooks, checkpoints, the launcher."""

from mmc2fmae.engine.atomic_io import AtomicCheckpointHook, latest_checkpoint
from mmc2fmae.engine.checkpoints import (
    CheckpointCoverageHook,
    CheckpointMismatch,
    StrictPretrained,
    load_backbone,
)
from mmc2fmae.engine.guards import NonFiniteGuardHook, SameScheduleHook
from mmc2fmae.engine.hooks import (
    DataProgressHook,
    KeyedRandomnessHook,
    PreflightHook,
    PretrainLogHook,
    RunRecordHook,
    SkippedSamplesHook,
)
from mmc2fmae.engine.layer_decay import LayerDecayConstructor, LearningRateRangeHook

__all__ = [
    'AtomicCheckpointHook',
    'CheckpointCoverageHook',
    'CheckpointMismatch',
    'DataProgressHook',
    'KeyedRandomnessHook',
    'LayerDecayConstructor',
    'LearningRateRangeHook',
    'NonFiniteGuardHook',
    'PreflightHook',
    'PretrainLogHook',
    'RunRecordHook',
    'SameScheduleHook',
    'SkippedSamplesHook',
    'StrictPretrained',
    'latest_checkpoint',
    'load_backbone',
]
