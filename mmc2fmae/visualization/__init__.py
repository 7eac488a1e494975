"""Pictures of pre-training: reconstructions, loss curves, the masking curriculum."""

from mmc2fmae.visualization.run import draw_run

__all__ = ['draw_run']
