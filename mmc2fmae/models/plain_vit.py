"""The plain ViT of every downstream task: mmpretrain's, with MAE's initialisation."""

from collections.abc import Sequence

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import initialize
from mmengine.registry import MODELS
from mmpretrain.models import VisionTransformer
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import (
    build_2d_sincos_position_embedding,
    resize_pos_embed,
    to_2tuple,
)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmc2fmae.models.attention import use_unbound_attention
from mmc2fmae.models.windows import WindowAttention

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
        num_cls_tokens: Class tokens, each with a position of its own, as SemanticMIM's proxies are
            (arXiv 2406.10673); ``out_type='cls_token'`` returns their mean.
        window_size: Patches along a window of attention; 0 attends globally in all blocks.
        global_blocks: Blocks, from 0, that attend globally all the same, as in ViTDet.
        checkpointing: Compute each block again in the backward pass instead of keeping what it
            computed: about a third slower, a fraction of the memory.
        **kwargs: Passed to :class:`mmpretrain.models.VisionTransformer`.

    Raises:
        ValueError: The image is no multiple of the patch, or there are no such blocks.
    """

    cls_token: nn.Parameter | None
    pos_embed: nn.Parameter
    num_extra_tokens: int

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        num_cls_tokens: int = 1,
        window_size: int = 0,
        global_blocks: Sequence[int] = (),
        checkpointing: bool = False,
        init_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        if any(side % patch_size for side in to_2tuple(img_size)):
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
        if num_cls_tokens != 1:
            self._use_cls_tokens(num_cls_tokens)
        self.patch_size = patch_size
        self.checkpointing = checkpointing
        use_unbound_attention(self.layers)
        self._use_windows(window_size, global_blocks)
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
        positions = build_2d_sincos_position_embedding(self.patch_resolution, self.embed_dims)
        self.pos_embed.data[:, : self.num_extra_tokens] = 0
        self.pos_embed.data[:, self.num_extra_tokens :] = positions
        if self.pretrained:
            initialize(self, self.pretrained)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode (B, C, H, W) images of any size; positions are resampled to their grid.

        Returns:
            Features after each of ``out_indices``, in the form that ``out_type`` names.
        """
        x, grid = self.patch_embed(x)
        if self.cls_token is not None:
            # Not len(x), which the export to ONNX takes for a constant.
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + resize_pos_embed(
            self.pos_embed,
            self.patch_resolution,
            grid,
            mode=self.interpolate_mode,
            num_extra_tokens=self.num_extra_tokens,
        )
        x = self.pre_norm(self.drop_after_pos(x))
        features = []
        for i, layer in enumerate(self.layers):
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(_block, layer, x, grid, use_reentrant=False)
            else:
                x = _block(layer, x, grid)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                features.append(self._format_output(x, grid))
        return tuple(features)

    def _use_cls_tokens(self, number: int) -> None:
        """Take another number of class tokens than one."""
        if not isinstance(number, int) or number < 1 or not self.with_cls_token:
            raise ValueError(
                f'num_cls_tokens={number!r}, with_cls_token={self.with_cls_token}: expected at '
                'least 1 class token, or with_cls_token=False and no number'
            )
        self.num_extra_tokens = number
        trained = self.pos_embed.requires_grad  # the parent has frozen its own by now
        self.cls_token = nn.Parameter(torch.zeros(1, number, self.embed_dims), trained)
        patches = self.patch_resolution[0] * self.patch_resolution[1]
        self.pos_embed = nn.Parameter(torch.zeros(1, number + patches, self.embed_dims), trained)

    def _format_output(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        if self.out_type == 'cls_token':
            return x[:, : self.num_extra_tokens].mean(dim=1)
        return super()._format_output(x, hw)

    def _use_windows(self, size: int, global_blocks: Sequence[int]) -> None:
        """Let all blocks but ``global_blocks`` attend within windows; parameters stay."""
        strangers = sorted(set(global_blocks) - set(range(self.num_layers)))
        if size < 0 or strangers or (global_blocks and not size):
            raise ValueError(
                f'window_size={size}, global_blocks={list(global_blocks)}: expected a window of '
                f'patches and blocks from 0 to {self.num_layers - 1}, or neither'
            )
        for i, layer in enumerate(self.layers):
            if size and i not in global_blocks:
                layer.attn.__class__ = WindowAttention
                layer.attn.window_size = size


def _block(layer: TransformerEncoderLayer, x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Run a block of mmpretrain on (B, L, D) tokens; windows also need the grid of patches."""
    if isinstance(layer.attn, WindowAttention):
        x = x + layer.attn(layer.ln1(x), grid)
        return layer.ffn(layer.ln2(x), identity=x)
    return layer(x)
