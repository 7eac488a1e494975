"""Attention within windows of the patch grid, the way ViTDet makes large images affordable."""

import torch
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def strips(length: int, size: int) -> list[tuple[int, int, int]]:
    """Cut a side of the grid into whole windows and, if needed, a narrower last one.

    Args:
        length: Patches along the side.
        size: Patches along a window.

    Returns:
        (start, number of windows, width of a window) of each kind, one or two.
    """
    whole, rest = divmod(length, size)
    parts = [(0, whole, size), (whole * size, 1, rest)]
    return [part for part in parts if part[1] and part[2]]


def attend_in_windows(
    q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], size: int, dropout: float = 0.0
) -> Tensor:
    """Attend from each patch to the patches of its window and to the extra tokens.

    Windows at the right and lower edge are cut off where the grid ends, so nothing is padded and
    every fused kernel applies: four calls at most. Extra tokens (the class token) attend to all
    tokens. A window as large as the grid is global attention.

    Args:
        q: Queries (B, heads, extra + H * W, d), extra tokens first, patches row by row.
        k: Keys of the same shape.
        v: Values of the same shape.
        grid: Patches per column and row, (H, W).
        size: Patches along a window.
        dropout: Share of attention weights to drop.

    Returns:
        (B, heads, extra + H * W, d).
    """
    extra = q.shape[2] - grid[0] * grid[1]
    lines = []
    for top, down, high in strips(grid[0], size):
        line = []
        for left, across, wide in strips(grid[1], size):
            parts = []
            for x in (q, k, v):  # -> (B * windows, heads, patches of a window, d)
                x = x[:, :, extra:].unflatten(2, grid)
                x = x[:, :, top : top + down * high, left : left + across * wide]
                x = x.unflatten(3, (across, wide)).unflatten(2, (down, high))
                parts.append(x.permute(0, 2, 4, 1, 3, 5, 6).flatten(4, 5).flatten(0, 2))
            if extra:
                for i, x in ((1, k), (2, v)):
                    shared = x[:, :, :extra].repeat_interleave(down * across, dim=0)
                    parts[i] = torch.cat([shared, parts[i]], dim=2)
            out = scaled_dot_product_attention(parts[0], parts[1], parts[2], dropout_p=dropout)
            out = out.unflatten(2, (high, wide)).unflatten(0, (len(q), down, across))
            line.append(out.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3))
        lines.append(torch.cat(line, dim=3))
    patches = torch.cat(lines, dim=2).flatten(2, 3)
    if not extra:
        return patches
    first = scaled_dot_product_attention(q[:, :, :extra], k, v, dropout_p=dropout)
    return torch.cat([first, patches], dim=2)


class WindowAttention(MultiheadAttention):
    """Self-attention within windows; parameters and their names are those of the parent."""

    window_size: int

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Attend within the windows of a (H, W) grid of (B, extra + H * W, D) tokens."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.attn_drop if self.training else 0.0
        x = attend_in_windows(q, k, v, grid=grid, size=self.window_size, dropout=dropout)
        x = x.transpose(1, 2).flatten(2)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x))))
