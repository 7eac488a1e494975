"""The paper's figures from any checkpoint, for print (tools/figures.py)."""

from mmc2fmae.visualization.figures.attention import draw_attention, look_at
from mmc2fmae.visualization.figures.autoencoder import load_autoencoder
from mmc2fmae.visualization.figures.curriculum import draw_curricula, find_masking
from mmc2fmae.visualization.figures.granularities import (
    draw_cross_predictions,
    draw_masked_predictions,
)
from mmc2fmae.visualization.figures.page import Page, save_figure
from mmc2fmae.visualization.figures.pca import draw_components, patch_features
from mmc2fmae.visualization.figures.samples import draw_samples
from mmc2fmae.visualization.figures.seen_masks import table_of

__all__ = [
    'Page',
    'draw_attention',
    'draw_components',
    'draw_cross_predictions',
    'draw_curricula',
    'draw_masked_predictions',
    'draw_samples',
    'find_masking',
    'load_autoencoder',
    'look_at',
    'patch_features',
    'save_figure',
    'table_of',
]
