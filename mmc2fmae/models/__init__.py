"""C2FMAE and its parts, registered in mmpretrain's MODELS."""

from mmc2fmae.models.c2fmae import C2FMAE, MultiGranularPreprocessor, RgbPreprocessor
from mmc2fmae.models.decoders import CascadedDecoder, ParallelDecoder
from mmc2fmae.models.heads import MultiGranularHead
from mmc2fmae.models.multi_granular_classifier import (
    LabelledMultiGranularPreprocessor,
    MultiGranularClassifier,
)
from mmc2fmae.models.multi_granular_vit import MultiGranularViT
from mmc2fmae.models.multimae import MultiMAE, MultiMAEDecoder, MultiMAEHead
from mmc2fmae.models.necks import FullPrecision
from mmc2fmae.models.plain_vit import PlainViT
from mmc2fmae.models.semanticmim import ProxyViT, SemanticMIM
from mmc2fmae.models.semanticmim_targets import DiscreteTokenTarget, HOGTarget
from mmc2fmae.models.tokens import TokenLayout

__all__ = [
    'C2FMAE',
    'CascadedDecoder',
    'DiscreteTokenTarget',
    'FullPrecision',
    'HOGTarget',
    'LabelledMultiGranularPreprocessor',
    'MultiGranularClassifier',
    'MultiGranularHead',
    'MultiGranularPreprocessor',
    'MultiGranularViT',
    'MultiMAE',
    'MultiMAEDecoder',
    'MultiMAEHead',
    'ParallelDecoder',
    'PlainViT',
    'ProxyViT',
    'RgbPreprocessor',
    'SemanticMIM',
    'TokenLayout',
]
