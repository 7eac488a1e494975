"""MultiMAE (Bachmann et al., ECCV 2022, arXiv 2204.01678), the paper's baseline.

Decoders stand side by side, one a task, and each attends to the visible tokens alone; masks are
random. Encoder, tokens, losses and data are those of C2FMAE.
"""

from collections.abc import Iterable, Sequence

import torch
from mmengine.model import BaseModule
from mmengine.registry import WEIGHT_INITIALIZERS
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmc2fmae.models.attention import CrossAttention
from mmc2fmae.models.c2fmae import C2FMAE
from mmc2fmae.models.decoders import DecoderStage, SequenceDecoder
from mmc2fmae.models.heads import MultiGranularHead
from mmc2fmae.models.plain_vit import MAE_INIT

MULTIMAE_INIT = [*MAE_INIT, dict(type='SeparateXavier')]
"""MAE's initialisation, but for queries, keys and values."""


def list_tasks(granularities: Iterable[str]) -> dict[str, str]:
    """Return the granularity that each task predicts: rgb twice, once normalised per patch."""
    return {name: name for name in granularities} | dict(norm_rgb='rgb')


@WEIGHT_INITIALIZERS.register_module()
class SeparateXavier:
    """``init_cfg`` type: Xavier for q, k and v each by itself where one layer computes them all."""

    def __call__(self, module: nn.Module) -> None:
        """Initialise the ``qkv`` and ``kv`` layers within ``module``."""
        for name, layer in module.named_modules():
            parts = dict(qkv=3, kv=2).get(name.rpartition('.')[2])
            if parts:
                for part in layer.weight.data.chunk(parts):
                    nn.init.xavier_uniform_(part)


class AdapterStage(DecoderStage):
    """Cross-attention without a residual to its query, its MLP, then self-attention blocks."""

    cross_attn: CrossAttention

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Turn (B, N, C) queries and a (B, L, C) context into features (B, N, C)."""
        x = self.cross_attn(self.query_norm(query), self.context_norm(context))
        x = x + self.mlp(x)
        for block in self.blocks:
            x = block(x)
        return x


class OutputAdapter(SequenceDecoder):
    """Decoder of one task, with a projection, mask token and embeddings of its own.

    Args:
        granularity: Granularity that the task predicts.
        granularities: Granularities in the order of the encoder's token sequence.
        num_patches: Patches of one granularity, N.
        in_dims: Width of the encoder's tokens.
        dims: Width of the decoder.
        num_heads: Number of heads.
        depth: Self-attention blocks after the cross-attention.
        mlp_ratio: Hidden width of the MLPs relative to ``dims``.
    """

    def __init__(
        self,
        granularity: str,
        granularities: Sequence[str],
        num_patches: int,
        in_dims: int,
        dims: int,
        num_heads: int,
        depth: int,
        mlp_ratio: float,
    ) -> None:
        super().__init__(granularities, num_patches, in_dims, dims)
        self.position = self.granularities.index(granularity)
        self.stage = AdapterStage(dims, num_heads, depth, mlp_ratio, cross_attention=True)

    def forward(self, encoded: Tensor, visible: Tensor) -> Tensor:
        """Decode the task's granularity.

        Args:
            encoded: (B, P + V, D) encoder features, class tokens first.
            visible: (B, V) positions of the others in the full sequence.

        Returns:
            (B, N, C) features.
        """
        first = encoded.shape[1] - visible.shape[1]
        sequence = self.full_sequence(encoded[:, first:], visible)
        index = visible.unsqueeze(2).expand(-1, -1, self.dims)
        context = [self.projection(encoded[:, :first]), sequence.gather(1, index)]
        query = sequence.split(self.num_patches, dim=1)[self.position]
        return self.stage(query, torch.cat(context, dim=1))


@MODELS.register_module()
class MultiMAEDecoder(BaseModule):
    """Decode all tasks side by side, each by an :class:`OutputAdapter`.

    Args:
        granularities: Granularities in the order of the encoder's token sequence.
        num_patches: Patches of one granularity, N.
        in_dims: Width of the encoder's tokens.
        dims: Width of the decoders.
        num_heads: Number of heads.
        depth: Self-attention blocks of a decoder.
        mlp_ratio: Hidden width of the MLPs relative to ``dims``.
        init_cfg: Initialisation, MultiMAE's by default.
    """

    def __init__(
        self,
        granularities: Sequence[str] = ('rgb', 'depth', 'semantic'),
        num_patches: int = 196,
        in_dims: int = 768,
        dims: int = 256,
        num_heads: int = 8,
        depth: int = 2,
        mlp_ratio: float = 4.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=MULTIMAE_INIT if init_cfg is None else init_cfg)
        self.dims = dims
        self.num_patches = num_patches
        options = (granularities, num_patches, in_dims, dims, num_heads, depth, mlp_ratio)
        self.adapters = nn.ModuleDict(
            {
                task: OutputAdapter(name, *options)
                for task, name in list_tasks(granularities).items()
            }
        )

    def init_weights(self) -> None:
        """Initialise all adapters; mask tokens start at zero."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, OutputAdapter):
                nn.init.normal_(module.granularity_embed, std=0.02)

    def forward(self, encoded: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Decode all tasks.

        Args:
            encoded: (B, 1 + V, D) encoder features, class token first.
            visible: (B, V) positions of the others in the full sequence.

        Returns:
            Features of every task, (B, N, C) each.
        """
        return {task: adapter(encoded, visible) for task, adapter in self.adapters.items()}


@MODELS.register_module()
class MultiMAEHead(MultiGranularHead):
    """Predict every granularity linearly, and photographs once more normalised per patch.

    Args:
        **kwargs: Passed to :class:`MultiGranularHead`, whose ``norm_pix`` it does not have.
    """

    predictor = nn.Linear
    list_tasks = staticmethod(list_tasks)

    def __init__(self, **kwargs) -> None:
        super().__init__(norm_pix=False, **kwargs)
        self.normalised = {'norm_rgb'}


@MODELS.register_module()
class MultiMAE(C2FMAE):
    """Multi-modal multi-task masked autoencoder: C2FMAE's encoder with parallel decoders.

    Args:
        backbone: Config of a :class:`MultiGranularViT` with ``final_norm=False``.
        **kwargs: ``neck`` (a :class:`MultiMAEDecoder`), ``head`` (a :class:`MultiMAEHead`) and the
            rest as of :class:`C2FMAE`.
    """

    def __init__(self, backbone: dict, **kwargs) -> None:
        super().__init__(backbone=dict(init_cfg=MULTIMAE_INIT) | backbone, **kwargs)

    def autoencode(self, tokens: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Encode (B, V, D) tokens and decode the features of every task; the class token helps."""
        return self.neck(self.backbone.encode(tokens), visible)
