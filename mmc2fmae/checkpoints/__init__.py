"""Checkpoints of plain ViTs: from any house to our backbone, and from it to timm, Hugging Face."""

from mmc2fmae.checkpoints.architecture import (
    Architecture,
    describe_module,
    describe_preprocessor,
    statement,
)
from mmc2fmae.checkpoints.backbone import Backbone, build_backbone, read_backbone, weights_for
from mmc2fmae.checkpoints.export import export_backbone, timm_call
from mmc2fmae.checkpoints.files import read_meta, read_state_dict
from mmc2fmae.checkpoints.loading import StrictPretrained, load_backbone
from mmc2fmae.checkpoints.preprocessing import Preprocessing

__all__ = [
    'Architecture',
    'Backbone',
    'Preprocessing',
    'StrictPretrained',
    'build_backbone',
    'describe_module',
    'describe_preprocessor',
    'export_backbone',
    'load_backbone',
    'read_backbone',
    'read_meta',
    'read_state_dict',
    'statement',
    'timm_call',
    'weights_for',
]
