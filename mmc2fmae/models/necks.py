"""What stands between a plain ViT and the heads of a detector."""

from collections.abc import Sequence

from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class FullPrecision(nn.Module):
    """Last part of a detector's neck: feature maps as float32, whatever precision made them.

    mmdet casts boxes to the type of the features before it cuts out regions. In bfloat16 an x of
    1000 pixels would be rounded to a multiple of 4, and compiled mmcv has no such kernel at all.
    """

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Cast each (B, C, H, W) map."""
        return tuple(x.float() for x in features)
