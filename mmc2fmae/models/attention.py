"""Fused attention without wasted memory traffic."""

from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class SelfAttention(MultiheadAttention):
    """mmpretrain's attention with one backward pass for q, k and v.

    The parent indexes q, k and v out of the projection; the gradient of each index is a full tensor
    of zeros but for one part. ``unbind`` puts the three gradients together once.
    """

    def forward(self, x: Tensor, context: int = 0) -> Tensor:
        """Attend within (B, L, D) tokens; the first ``context`` of them are keys and values only.

        Returns:
            (B, L - context, D) tokens.
        """
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q = q[:, :, context:]
        dropout = self.attn_drop if self.training else 0.0
        x = scaled_dot_product_attention(q, k, v, dropout_p=dropout).transpose(1, 2).flatten(2)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x))))


def use_unbound_attention(module: nn.Module) -> None:
    """Turn the attention of mmpretrain's encoder layers into :class:`SelfAttention`, in place.

    Parameters and their names stay; only the forward pass differs.
    """
    for part in module.modules():
        if type(part) is MultiheadAttention and not part.v_shortcut:
            part.__class__ = SelfAttention


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
        k, v = (
            self.kv(context).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        )
        return self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
