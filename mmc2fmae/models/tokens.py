"""Where the tokens are: index arithmetic between masks, patches and the encoder's sequence."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class TokenLayout:
    """Positions of visible and masked tokens of a batch, all computed once from the masks.

    The full sequence lists the granularities one after the other, N tokens each. Visible tokens
    keep that order in the encoder. Ragged parts are flat indices, so that no padding is computed.

    Attributes:
        visible: (B, V) int64 positions of the encoder's tokens in the full sequence of M * N.
        sources: Per granularity, flat (b * N + n) indices of its visible patches.
        slots: Per granularity, flat (b * V + v) indices that these patches take in the encoder.
        masked: Per granularity, flat (b * N + n) indices of its masked patches.
        num_patches: Patches of one granularity, N.
    """

    visible: Tensor
    sources: dict[str, Tensor]
    slots: dict[str, Tensor]
    masked: dict[str, Tensor]
    num_patches: int

    @classmethod
    def from_masks(cls, masks: dict[str, Tensor]) -> 'TokenLayout':
        """Compute the layout on the masks' device (the CPU is fastest: no synchronisation).

        Args:
            masks: Per granularity a (B, N) boolean mask, True where masked; the order of the
                dict is the order of the sequence.

        Raises:
            ValueError: Samples have different numbers of visible tokens, or granularities different
                numbers of patches.
        """
        lengths = {name: mask.shape[1] for name, mask in masks.items()}
        num_patches = next(iter(lengths.values()))
        if len(set(lengths.values())) > 1:
            raise ValueError(f'masks have {lengths} patches: expected the same number for all')
        sequence = torch.cat(list(masks.values()), dim=1)
        counts = (~sequence).sum(dim=1)
        if not bool((counts == counts[0]).all()):
            raise ValueError(
                f'samples of a batch have {sorted(set(counts.tolist()))} visible tokens: expected '
                'one number V for all (masking transform, num_visible)'
            )
        sample, position = (~sequence).nonzero(as_tuple=True)
        granularity = position // num_patches
        patch = sample * num_patches + position % num_patches
        sources, slots, masked = {}, {}, {}
        for m, name in enumerate(masks):
            slots[name] = (granularity == m).nonzero().flatten()
            sources[name] = patch[slots[name]]
            masked[name] = masks[name].flatten().nonzero().flatten()
        return cls(position.view(len(sequence), -1), sources, slots, masked, num_patches)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> 'TokenLayout':
        """Copy all indices to a device."""
        ragged = [
            {name: index.to(device, non_blocking=non_blocking) for name, index in part.items()}
            for part in (self.sources, self.slots, self.masked)
        ]
        visible = self.visible.to(device, non_blocking=non_blocking)
        sources, slots, masked = ragged
        return TokenLayout(visible, sources, slots, masked, self.num_patches)

    def check_grid(self, rows: int, columns: int) -> None:
        """Refuse a layout of another grid of patches: its indices would reach into other samples.

        Raises:
            ValueError: The masks do not have a value for each patch of the model.
        """
        if self.num_patches != rows * columns:
            raise ValueError(
                f'masks have {self.num_patches} patches, the model {rows} x {columns} = '
                f'{rows * columns}: give ProgressiveMasking and model.backbone the same patch_size '
                '(--patch-size sets both)'
            )


def gather_patches(maps: Tensor, cell: int, index: Tensor) -> Tensor:
    """Cut chosen patches out of a batch of maps; the others are never copied.

    Args:
        maps: (B, C, H, W) images or (B, h, w) label maps.
        cell: Side of a patch in map pixels.
        index: (K,) flat (b * N + n) patch indices, row-major within a map.

    Returns:
        (K, C, cell, cell) or (K, cell, cell) patches.
    """
    *lead, height, width = maps.shape
    rows, columns = height // cell, width // cell
    grid = maps.reshape(*lead, rows, cell, columns, cell)
    if len(lead) == 2:
        grid = grid.permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, cell, cell)
    else:
        grid = grid.permute(0, 1, 3, 2, 4)  # (B, rows, columns, cell, cell)
    patch = index % (rows * columns)
    return grid[index // (rows * columns), patch // columns, patch % columns]


def scatter_patches(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Assemble all patches of each sample into maps: the inverse of :func:`gather_patches`.

    Args:
        patches: (B, N, C, cell, cell) or (B, N, cell, cell).
        grid: (rows, columns) of patches.

    Returns:
        (B, C, H, W) or (B, h, w) maps.
    """
    batch, _, *channels, cell, _ = patches.shape
    rows, columns = grid
    tiles = patches.view(batch, rows, columns, *channels, cell, cell)
    if channels:
        tiles = tiles.permute(0, 3, 1, 4, 2, 5)
    else:
        tiles = tiles.permute(0, 1, 3, 2, 4)
    return tiles.reshape(batch, *channels, rows * cell, columns * cell)
