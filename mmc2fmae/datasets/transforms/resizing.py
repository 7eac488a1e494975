"""ResizeEdge of MMPretrain in bounded memory."""

from mmpretrain.datasets import ResizeEdge
from mmpretrain.registry import TRANSFORMS

from mmc2fmae.images.rgb import middle


@TRANSFORMS.register_module(name='ResizeEdge', force=True)
class BoundedResizeEdge(ResizeEdge):
    """ResizeEdge that takes the middle of a very long picture, as the centre crop after it does."""

    def transform(self, results: dict) -> dict:
        """Resize; see :func:`mmc2fmae.images.rgb.middle`."""
        if self.edge == 'short':
            height, width = results['img'].shape[:2]
            left, top, right, bottom = middle(width, height)
            results['img'] = results['img'][top:bottom, left:right]
        return super().transform(results)
