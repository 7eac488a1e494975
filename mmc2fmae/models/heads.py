"""Linear predictors (Eq. 4) and reconstruction losses (Eq. 12) on masked patches."""

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmc2fmae.datasets.label_ids import IGNORE
from mmc2fmae.models.tokens import TokenLayout, gather_patches, scatter_patches

NORM_PIX_EPS = 1e-6
"""Added to a patch's variance before its root, as in MAE."""


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of (K, P) flattened patches, (K, 1) each (``norm_pix``, D9)."""
    variance, mean = torch.var_mean(patches, dim=1, keepdim=True)
    return mean, (variance + NORM_PIX_EPS).sqrt()


def mean_per_sample(values: Tensor, counts: Tensor, index: Tensor, shape: tuple) -> Tensor:
    """Average over each sample's pixels, then over the samples that have any (D9).

    Args:
        values: (K,) sums of a patch's pixel losses.
        counts: (K,) pixels of the patch that count.
        index: (K,) flat (b * N + n) patch indices, all different.
        shape: (B, N).

    Returns:
        Scalar; 0 where no pixel counts at all, never NaN.
    """
    # Distinct indices make index_copy deterministic on every device, unlike index_add.
    dense = torch.stack([values, counts.to(values.dtype)])
    dense = dense.new_zeros(2, shape[0] * shape[1]).index_copy(1, index, dense)
    sums, totals = dense.view(2, *shape).sum(dim=2)
    per_sample = sums / totals.clamp(min=1)
    return per_sample.sum() / (totals > 0).sum().clamp(min=1)


class Predictor(nn.Sequential):
    """Predictor^t of Eq. 4: a linear layer on the normalised features of the stage."""

    def __init__(self, dims: int, out_dims: int) -> None:
        super().__init__(nn.LayerNorm(dims, eps=1e-6), nn.Linear(dims, out_dims))


@MODELS.register_module()
class MultiGranularHead(BaseModule):
    """Predict masked patches of every granularity and weigh the losses (Eq. 4 and 12).

    Args:
        cells: Side of a patch in map pixels, per granularity; ``rgb`` is one of them.
        num_classes: Number of classes of each label granularity.
        in_channels: Channels of the rgb granularity.
        dims: Width of the decoder's features.
        loss_weights: lambda of each granularity (Table VIf); granularities not named weigh 1.
        norm_pix: Predict pixels normalised by their patch's mean and deviation, as MAE (D9).
        init_cfg: Initialisation, Xavier by default.

    Raises:
        ValueError: ``loss_weights`` names an unknown granularity.
    """

    def __init__(
        self,
        cells: dict[str, int],
        num_classes: dict[str, int],
        in_channels: int = 3,
        dims: int = 256,
        loss_weights: dict | None = None,
        norm_pix: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = dict(type='Xavier', layer='Linear', distribution='uniform')
        super().__init__(init_cfg=init_cfg)
        self.norm_pix = norm_pix
        self.num_classes = dict(num_classes)
        self.cells = dict(cells)
        unknown = set(loss_weights or {}) - set(self.cells)
        if unknown:
            raise ValueError(
                f'loss_weights names {sorted(unknown)}: expected some of {list(self.cells)}'
            )
        self.loss_weights = {name: (loss_weights or {}).get(name, 1.0) for name in self.cells}
        self.predictors = nn.ModuleDict(
            {
                name: Predictor(dims, cell * cell * self.num_classes.get(name, in_channels))
                for name, cell in self.cells.items()
            }
        )

    def loss(
        self, features: dict[str, Tensor], inputs: dict[str, Tensor], layout: TokenLayout
    ) -> dict[str, Tensor]:
        """Compute the weighted loss of every granularity on its masked patches.

        Args:
            features: F^k of every granularity, (B, N, C).
            inputs: rgb (B, 3, H, W) normalised, label maps (B, h, w); the targets.
            layout: Token layout of the batch.

        Returns:
            ``loss_<granularity>`` scalars; their sum is Eq. 12.
        """
        losses = {}
        for name, cell in self.cells.items():
            index = layout.masked[name]
            predicted = self.predictors[name](features[name].flatten(0, 1)[index])
            target = gather_patches(inputs[name], cell, index)
            if name == 'rgb':
                values, counts = self._pixel_loss(predicted, target.flatten(1))
            else:
                values, counts = self._label_loss(
                    predicted.unflatten(1, (-1, self.num_classes[name])), target.flatten(1)
                )
            mean = mean_per_sample(values, counts, index, features[name].shape[:2])
            losses[f'loss_{name}'] = self.loss_weights[name] * mean
        return losses

    def _pixel_loss(self, predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of squared errors of (K, P) pixels and their number."""
        target = target.float()
        if self.norm_pix:
            mean, deviation = patch_statistics(target)
            target = (target - mean) / deviation
        values = (predicted.float() - target).square().sum(dim=1)
        return values, torch.full_like(values, target.shape[1])

    def _label_loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of cross-entropies of (K, P) label pixels and the number of known ones."""
        target = target.long()
        values = F.cross_entropy(
            logits.float().flatten(0, 1), target.flatten(), ignore_index=IGNORE, reduction='none'
        ).view_as(target)
        return values.sum(dim=1), (target != IGNORE).sum(dim=1)

    def predict(
        self, features: dict[str, Tensor], inputs: dict[str, Tensor], target_stats: bool = True
    ) -> dict[str, Tensor]:
        """Predict all patches of every granularity as maps.

        Args:
            features: F^k of every granularity, (B, N, C).
            inputs: As for :meth:`loss`; the rgb patches give the statistics.
            target_stats: Undo ``norm_pix`` with the target patches' mean and deviation; False
                returns what the model really predicts.

        Returns:
            rgb (B, 3, H, W) float in the scale of the input, label maps (B, h, w) int64.
        """
        maps = {}
        for name, cell in self.cells.items():
            batch, num_patches, _ = features[name].shape
            side = round(num_patches**0.5)
            predicted = self.predictors[name](features[name]).float()
            if name == 'rgb':
                if self.norm_pix and target_stats:
                    every = torch.arange(batch * num_patches, device=predicted.device)
                    target = gather_patches(inputs['rgb'].float(), cell, every).flatten(1)
                    mean, deviation = patch_statistics(target)
                    predicted = predicted.flatten(0, 1) * deviation + mean
                patches = predicted.view(batch, num_patches, -1, cell, cell)
            else:
                classes = self.num_classes[name]
                patches = predicted.view(batch, num_patches, cell, cell, classes).argmax(dim=-1)
            maps[name] = scatter_patches(patches, (side, side))
        return maps
