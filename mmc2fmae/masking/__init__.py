"""Masking as pure functions on NumPy arrays (paper III-D); transforms and hooks are thin shells."""

from mmc2fmae.masking.allocation import apportion, sample_visible_counts
from mmc2fmae.masking.curriculum import PRESETS, Curriculum, build_curriculum
from mmc2fmae.masking.rules import MaskingRules
from mmc2fmae.masking.seen import count_hidden
from mmc2fmae.masking.strategies import (
    STRATEGIES,
    Masks,
    blend_top_k,
    instance_guided_mask,
    leading_strategy,
    patch_labels,
    progressive_mask,
    random_mask,
    sample_in_regions,
    select_objects,
    semantic_guided_mask,
)

__all__ = [
    'PRESETS',
    'STRATEGIES',
    'Curriculum',
    'MaskingRules',
    'Masks',
    'apportion',
    'blend_top_k',
    'build_curriculum',
    'count_hidden',
    'instance_guided_mask',
    'leading_strategy',
    'patch_labels',
    'progressive_mask',
    'random_mask',
    'sample_in_regions',
    'sample_visible_counts',
    'select_objects',
    'semantic_guided_mask',
]
