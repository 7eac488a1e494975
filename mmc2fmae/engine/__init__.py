"""What a run needs beside model and data: hooks, guards, the launcher."""

from mmc2fmae.engine.checkpoint_hook import AtomicCheckpointHook
from mmc2fmae.engine.guards import CheckpointCoverageHook, SameScheduleHook
from mmc2fmae.engine.hooks import (
    DataProgressHook,
    KeyedRandomnessHook,
    PretrainLogHook,
    RunRecordHook,
    SkippedSamplesHook,
)
from mmc2fmae.engine.joined_groups import JoinedGroupsConstructor
from mmc2fmae.engine.layer_decay import LayerDecayConstructor, LearningRateRangeHook
from mmc2fmae.engine.loops import ContinuedEpochLoop
from mmc2fmae.engine.non_finite import NonFiniteGuardHook

__all__ = [
    'AtomicCheckpointHook',
    'CheckpointCoverageHook',
    'ContinuedEpochLoop',
    'DataProgressHook',
    'JoinedGroupsConstructor',
    'KeyedRandomnessHook',
    'LayerDecayConstructor',
    'LearningRateRangeHook',
    'NonFiniteGuardHook',
    'PretrainLogHook',
    'RunRecordHook',
    'SameScheduleHook',
    'SkippedSamplesHook',
]
