"""What a pre-training learns, looked at while it learns: health, k-NN, pictures."""

from mmc2fmae.probes.hooks import HealthProbeHook, KnnProbeHook, PictureProbeHook
from mmc2fmae.probes.options import apply_probes

__all__ = ['HealthProbeHook', 'KnnProbeHook', 'PictureProbeHook', 'apply_probes']
