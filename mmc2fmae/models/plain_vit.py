"""The plain ViT of every downstream task: mmpretrain's, with MAE's initialisation."""

from mmcv.cnn.bricks import DropPath
from mmengine.model import initialize
from mmengine.registry import MODELS
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import nn

from mmc2fmae.models.attention import use_unbound_attention

MAE_INIT = [
    dict(type='Xavier', layer='Linear', distribution='uniform'),
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
]
"""Initialisation of all transformer parts, as in MAE (paper IV-A)."""


@MODELS.register_module()
class PlainViT(VisionTransformer):
    """mmpretrain's VisionTransformer, initialised as in MAE and at home in all three frameworks.

    It is registered in mmengine's root registry, so mmpretrain, mmdet and mmseg configs name it
    without a scope. ``init_cfg=dict(type='StrictPretrained', checkpoint=FILE)`` fills it from any
    checkpoint that :func:`mmc2fmae.engine.load_backbone` reads; without it the weights are random
    and the positions 2-D sin-cos (D12).

    Args:
        arch: 'deit-tiny', 'deit-small', 'base', 'large', 'huge' (ViT-Ti, S, B, L, H) or a dict of
            ``embed_dims``, ``num_layers``, ``num_heads``, ``feedforward_channels``.
        img_size: Height and width in pixels that the positions are made for.
        patch_size: Side of a patch in pixels.
        **kwargs: Passed to :class:`mmpretrain.models.VisionTransformer`.

    Raises:
        ValueError: The image is no multiple of the patch.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int = 224,
        patch_size: int = 16,
        init_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        if img_size % patch_size:
            raise ValueError(f'image size {img_size} is no multiple of the patch size {patch_size}')
        # mmengine would run any init_cfg but its own 'Pretrained' first, and then let the layers
        # draw their weights anew.
        self.pretrained = None
        if isinstance(init_cfg, dict) and init_cfg['type'] in ('StrictPretrained', 'Pretrained'):
            self.pretrained, init_cfg = init_cfg, None
        super().__init__(
            arch=arch,
            img_size=img_size,
            patch_size=patch_size,
            init_cfg=MAE_INIT if init_cfg is None else init_cfg,
            **kwargs,
        )
        self.patch_size = patch_size
        use_unbound_attention(self.layers)
        for module in self.modules():  # a NumPy scalar here breaks torch.compile's graph
            if isinstance(module, DropPath):
                module.drop_prob = float(module.drop_prob)

    def init_weights(self) -> None:
        """Initialise as MAE does, then fill from the checkpoint of ``init_cfg``, if any."""
        super().init_weights()
        for layer in self.layers:  # mmpretrain draws these biases at random, MAE zeroes them
            for module in layer.ffn.modules():
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)
        projection = self.patch_embed.projection
        nn.init.xavier_uniform_(projection.weight.view(self.embed_dims, -1))
        nn.init.zeros_(projection.bias)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)
        positions = build_2d_sincos_position_embedding(
            self.patch_resolution, self.embed_dims, cls_token=self.cls_token is not None
        )
        self.pos_embed.data.copy_(positions)
        if self.pretrained:
            initialize(self, self.pretrained)
