"""The cascaded decoder (paper III-C, Eq. 2 to 4) and its variants of Table VId."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleList
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmc2fmae.models.attention import CrossAttention, use_unbound_attention
from mmc2fmae.models.plain_vit import MAE_INIT


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
        use_unbound_attention(self.blocks)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Refine (B, N, C) queries with a (B, M * N, C) context into F^k, (B, N, C)."""
        x = query
        if self.cross_attn is not None:
            x = x + self.cross_attn(self.query_norm(x), self.context_norm(context))
            x = x + self.mlp(x)
        for block in self.blocks:
            x = block(x)
        return x


def add_at(parts: list[Tensor], position: int, features: Tensor) -> Tensor:
    """Add features to their granularity's part of the sequence, all others unchanged (Eq. 2).

    Args:
        parts: The full token sequence H, split by granularity, (B, N, C) each.
        position: Which part F^(k-1) belongs to.
        features: (B, N, C) output F^(k-1) of the preceding stage.

    Returns:
        (B, M * N, C): H + scatter(F^(k-1), i, j).
    """
    return torch.cat([*parts[:position], parts[position] + features, *parts[position + 1 :]], dim=1)


class SequenceDecoder(BaseModule):
    """Base of the decoders: the full token sequence H of paper III-C.

    Args:
        granularities: Granularities in the order of the encoder's token sequence.
        num_patches: Patches of one granularity, N.
        in_dims: Width of the encoder's tokens.
        dims: Width of the decoder.
        init_cfg: Initialisation.
    """

    def __init__(
        self,
        granularities: Sequence[str],
        num_patches: int,
        in_dims: int,
        dims: int,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.dims = dims
        self.num_patches = num_patches
        self.granularities = tuple(granularities)
        self.projection = nn.Linear(in_dims, dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dims))
        self.granularity_embed = nn.Parameter(torch.zeros(len(granularities), 1, dims))
        side = round(num_patches**0.5)
        positions = build_2d_sincos_position_embedding((side, side), dims)
        self.register_buffer('pos_embed', positions, persistent=False)

    def full_sequence(self, encoded: Tensor, visible: Tensor) -> Tensor:
        """Put encoded tokens at their positions, mask tokens elsewhere: H of paper III-C.

        Args:
            encoded: (B, V, D) encoder features without the class token.
            visible: (B, V) their positions in the full sequence.

        Returns:
            (B, M * N, C) tokens with position and granularity embeddings.
        """
        tokens = self.projection(encoded)
        length = len(self.granularities) * self.num_patches
        index = visible.unsqueeze(2).expand(-1, -1, tokens.shape[2])
        sequence = self.mask_token.to(tokens.dtype).expand(len(tokens), length, -1)
        sequence = sequence.scatter(1, index, tokens)
        return sequence + (self.pos_embed + self.granularity_embed).flatten(0, 1)


@MODELS.register_module()
class CascadedDecoder(SequenceDecoder):
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
        proxies: Read the encoder's class tokens in place of its visible patches: all that is
            decoded has to pass through them, as in SemanticMIM (docs/semanticmim.md).
        init_cfg: Initialisation, MAE's by default.

    Raises:
        ValueError: ``order`` is no permutation of ``granularities``, or nothing reads proxies.
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
        proxies: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            granularities, num_patches, in_dims, dims, MAE_INIT if init_cfg is None else init_cfg
        )
        if sorted(order) != sorted(granularities):
            raise ValueError(
                f'decoder order {list(order)}: expected each of {list(granularities)} once'
            )
        if proxies and not cross_attention:
            raise ValueError(
                'proxies=True, cross_attention=False: proxies are read by cross-attention alone, '
                'leave one of the two options out'
            )
        self.order = tuple(order)
        self.proxies = proxies
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

    def context(
        self, sequence: Tensor, parts: list[Tensor], previous: str | None, features: Tensor | None
    ) -> Tensor:
        """Return key and value of the next stage: H plus the preceding stage's output (Eq. 2).

        Args:
            sequence: (B, M * N, C) full token sequence H.
            parts: The same, split by granularity.
            previous: Granularity of the preceding stage, None at the first (F^0 = 0).
            features: (B, N, C) output of the preceding stage.
        """
        if previous is None or features is None:
            return sequence
        return add_at(parts, self.granularities.index(previous), features)

    def forward(self, encoded: Tensor, visible: Tensor, class_tokens: Tensor) -> dict[str, Tensor]:
        """Decode all granularities.

        Args:
            encoded: (B, V, D) encoder features without the class tokens.
            visible: (B, V) their positions in the full sequence.
            class_tokens: (B, P, D) features of the class tokens; read as ``proxies`` alone.

        Returns:
            F^k of every granularity, (B, N, C) each.
        """
        if self.proxies:  # no patch is seen: H is mask tokens alone
            encoded, visible = encoded[:, :0], visible[:, :0]
            proxies = self.projection(class_tokens)
        sequence = self.full_sequence(encoded, visible)
        parts = sequence.split(self.num_patches, dim=1)
        outputs: dict[str, Tensor] = {}
        previous, features = None, None
        for name in self.order:
            query = parts[self.granularities.index(name)]
            context = self.context(sequence, parts, previous, features)
            if self.proxies:
                context = torch.cat([proxies, context], dim=1)
            features = outputs[name] = self.stages[name](query, context)
            previous = name
        return outputs


@MODELS.register_module()
class ParallelDecoder(CascadedDecoder):
    """The same stages side by side, none seeing another's output ("Parallel" of Table VId)."""

    def context(
        self, sequence: Tensor, parts: list[Tensor], previous: str | None, features: Tensor | None
    ) -> Tensor:
        """Return key and value of every stage: H itself."""
        return sequence
