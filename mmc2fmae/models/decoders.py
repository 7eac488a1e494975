"""The cascaded decoder (paper III-C, Eq. 2 to 4) and its variants of Table VId."""

import torch
from mmengine.model import BaseModule, ModuleList
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mmc2fmae.models.multi_granular_vit import MAE_INIT


class CrossAttention(nn.Module):
    """Multi-head attention of queries to a context that serves as key and value.

    Args:
        dims: Width of queries and context.
        num_heads: Number of heads.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dims, dims)
        self.kv = nn.Linear(dims, 2 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Attend from (B, N, C) queries to a (B, L, C) context; returns (B, N, C)."""
        q = self.q(query).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        k, v = self.kv(context).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class DecoderStage(BaseModule):
    """DecoderBlock^k of Eq. 3: cross-attention with its MLP, then self-attention blocks (D11).

    Args:
        dims: Width of the tokens.
        num_heads: Number of heads.
        depth: Self-attention blocks.
        mlp_ratio: Hidden width of the MLPs relative to ``dims``.
        cross_attention: False removes the cross-attention and its MLP ("w/o CA" of Table VId).
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        depth: int,
        mlp_ratio: float,
        cross_attention: bool,
    ) -> None:
        super().__init__()
        hidden = int(dims * mlp_ratio)
        norm_cfg = dict(type='LN', eps=1e-6)
        self.cross_attn = None
        if cross_attention:
            self.query_norm = nn.LayerNorm(dims, eps=1e-6)
            self.context_norm = nn.LayerNorm(dims, eps=1e-6)
            self.cross_attn = CrossAttention(dims, num_heads)
            self.mlp = nn.Sequential(
                nn.LayerNorm(dims, eps=1e-6),
                nn.Linear(dims, hidden),
                nn.GELU(),
                nn.Linear(hidden, dims),
            )
        self.blocks = ModuleList(
            TransformerEncoderLayer(dims, num_heads, hidden, norm_cfg=norm_cfg)
            for _ in range(depth)
        )

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Refine (B, N, C) queries with a (B, M * N, C) context into F^k, (B, N, C)."""
        x = query
        if self.cross_attn is not None:
            x = x + self.cross_attn(self.query_norm(x), self.context_norm(context))
            x = x + self.mlp(x)
        for block in self.blocks:
            x = block(x)
        return x


def add_to_slice(sequence: Tensor, features: Tensor, start: int) -> Tensor:
    """Add features to their positions of the sequence, all others unchanged (Eq. 2).

    Args:
        sequence: (B, L, C) full token sequence H.
        features: (B, N, C) output F^(k-1) of the preceding stage.
        start: First position i of its granularity.

    Returns:
        (B, L, C): H + scatter(F^(k-1), i, i + N).
    """
    stop = start + features.shape[1]
    middle = sequence[:, start:stop] + features
    return torch.cat([sequence[:, :start], middle, sequence[:, stop:]], dim=1)


@MODELS.register_module()
class CascadedDecoder(BaseModule):
    """Decode granularity after granularity, each stage building on the one before (Eq. 2-3).

    Args:
        granularities: Granularities in the order of the encoder's token sequence.
        order: Order of the stages; semantic, instance, rgb in the paper (S-I-R).
        num_patches: Patches of one granularity, N.
        in_dims: Width of the encoder's tokens.
        dims: Width of the decoder.
        num_heads: Number of heads.
        depth: Self-attention blocks of a stage.
        mlp_ratio: Hidden width of the MLPs relative to ``dims``.
        cross_attention: False removes cross-attention ("w/o CA" of Table VId).
        init_cfg: Initialisation, MAE's by default.

    Raises:
        ValueError: ``order`` is no permutation of ``granularities``.
    """

    def __init__(
        self,
        granularities: tuple[str, ...] = ('rgb', 'instance', 'semantic'),
        order: tuple[str, ...] = ('semantic', 'instance', 'rgb'),
        num_patches: int = 196,
        in_dims: int = 768,
        dims: int = 256,
        num_heads: int = 8,
        depth: int = 2,
        mlp_ratio: float = 4.0,
        cross_attention: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=MAE_INIT if init_cfg is None else init_cfg)
        if sorted(order) != sorted(granularities):
            raise ValueError(
                f'decoder order {list(order)}: expected each of {list(granularities)} once'
            )
        self.order = tuple(order)
        self.dims = dims
        self.num_patches = num_patches
        self.starts = {name: i * num_patches for i, name in enumerate(granularities)}
        self.projection = nn.Linear(in_dims, dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dims))
        self.granularity_embed = nn.Parameter(torch.zeros(len(granularities), 1, dims))
        side = round(num_patches**0.5)
        positions = build_2d_sincos_position_embedding((side, side), dims)
        self.register_buffer('pos_embed', positions, persistent=False)
        self.stages = nn.ModuleDict(
            {
                name: DecoderStage(dims, num_heads, depth, mlp_ratio, cross_attention)
                for name in order
            }
        )

    def init_weights(self) -> None:
        """Initialise as MAE does; mask token and granularity embeddings by a narrow normal."""
        super().init_weights()
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.normal_(self.granularity_embed, std=0.02)

    def full_sequence(self, encoded: Tensor, visible: Tensor) -> Tensor:
        """Put encoded tokens at their positions, mask tokens elsewhere: H of paper III-C.

        Args:
            encoded: (B, V, D) encoder features without the class token.
            visible: (B, V) their positions in the full sequence.

        Returns:
            (B, M * N, C) tokens with position and granularity embeddings.
        """
        tokens = self.projection(encoded)
        length = len(self.starts) * self.num_patches
        index = visible.unsqueeze(2).expand(-1, -1, tokens.shape[2])
        sequence = self.mask_token.to(tokens.dtype).expand(len(tokens), length, -1)
        sequence = sequence.scatter(1, index, tokens)
        return sequence + (self.pos_embed + self.granularity_embed).flatten(0, 1)

    def context(self, sequence: Tensor, previous: str | None, features: Tensor | None) -> Tensor:
        """Return key and value of the next stage: H plus the preceding stage's output (Eq. 2)."""
        if previous is None:  # F^0 = 0
            return sequence
        return add_to_slice(sequence, features, self.starts[previous])

    def forward(self, encoded: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Decode all granularities.

        Args:
            encoded: (B, V, D) encoder features without the class token.
            visible: (B, V) their positions in the full sequence.

        Returns:
            F^k of every granularity, (B, N, C) each.
        """
        sequence = self.full_sequence(encoded, visible)
        outputs: dict[str, Tensor] = {}
        previous, features = None, None
        for name in self.order:
            start = self.starts[name]
            query = sequence[:, start : start + self.num_patches]
            features = self.stages[name](query, self.context(sequence, previous, features))
            outputs[name] = features
            previous = name
        return outputs


@MODELS.register_module()
class ParallelDecoder(CascadedDecoder):
    """The same stages side by side, none seeing another's output ("Parallel" of Table VId)."""

    def context(self, sequence: Tensor, previous: str | None, features: Tensor | None) -> Tensor:
        """Return key and value of every stage: H itself."""
        return sequence
