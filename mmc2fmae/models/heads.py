"""Linear predictors (Eq. 4) and reconstruction losses (Eq. 12) on masked patches."""

from collections.abc import Iterable

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmc2fmae.label_ids import IGNORE
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

    Photographs cost their squared error, label maps their cross-entropy, continuous maps their
    absolute error (as in MultiMAE). A task is what one predictor predicts; here there is one a
    granularity, of its name.

    Args:
        cells: Side of a patch in map pixels, per granularity; ``rgb`` is one of them.
        num_classes: Number of classes of each label granularity.
        in_channels: Channels of the rgb granularity.
        dims: Width of the decoder's features.
        loss_weights: lambda of each task (Table VIf); tasks not named weigh 1.
        norm_pix: Predict pixels normalised by their patch's mean and deviation, as MAE (D9).
        init_cfg: Initialisation, Xavier by default.

    Raises:
        ValueError: ``loss_weights`` names an unknown task.
    """

    predictor: type[nn.Module] = Predictor

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
        self.normalised = {'rgb'} if norm_pix else set()
        self.num_classes = dict(num_classes)
        self.cells = dict(cells)
        self.tasks = self.list_tasks(self.cells)
        unknown = set(loss_weights or {}) - set(self.tasks)
        if unknown:
            raise ValueError(
                f'loss_weights names {sorted(unknown)}: expected some of {list(self.tasks)}'
            )
        self.loss_weights = {task: (loss_weights or {}).get(task, 1.0) for task in self.tasks}
        depths = dict.fromkeys(self.cells, 1) | dict(rgb=in_channels) | self.num_classes
        self.predictors = nn.ModuleDict(
            {
                task: self.predictor(dims, self.cells[name] ** 2 * depths[name])
                for task, name in self.tasks.items()
            }
        )

    @staticmethod
    def list_tasks(granularities: Iterable[str]) -> dict[str, str]:
        """Return the granularity that each task predicts."""
        return {name: name for name in granularities}

    def loss(
        self, features: dict[str, Tensor], inputs: dict[str, Tensor], layout: TokenLayout
    ) -> dict[str, Tensor]:
        """Compute the weighted loss of every task on the masked patches of its granularity.

        Args:
            features: F^k of every task, (B, N, C).
            inputs: rgb (B, 3, H, W) normalised, label maps (B, h, w), continuous maps (B, H, W);
                the targets.
            layout: Token layout of the batch.

        Returns:
            ``loss_<task>`` scalars; their sum is Eq. 12.
        """
        losses = {}
        for task, name in self.tasks.items():
            index = layout.masked[name]
            hidden = features[task].flatten(0, 1).index_select(0, index)
            predicted = self.predictors[task](hidden)
            target = gather_patches(inputs[name], self.cells[name], index).flatten(1)
            if name in self.num_classes:
                values, counts = self._label_loss(
                    predicted.unflatten(1, (-1, self.num_classes[name])), target
                )
            else:
                values, counts = self._value_loss(task, predicted, target)
            mean = mean_per_sample(values, counts, index, features[task].shape[:2])
            losses[f'loss_{task}'] = self.loss_weights[task] * mean
        return losses

    def _value_loss(self, task: str, predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of squared (rgb) or absolute errors of (K, P) values and their number."""
        target = target.float()
        if task in self.normalised:
            mean, deviation = patch_statistics(target)
            target = (target - mean) / deviation
        errors = predicted.float() - target
        errors = errors.square() if self.tasks[task] == 'rgb' else errors.abs()
        values = errors.sum(dim=1)
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
            features: F^k of every granularity's own task, (B, N, C).
            inputs: As for :meth:`loss`; the rgb patches give the statistics.
            target_stats: Undo ``norm_pix`` with the target patches' mean and deviation; False
                returns what the model really predicts.

        Returns:
            rgb (B, 3, H, W) and continuous maps (B, H, W) float in the scale of the input, label
            maps (B, h, w) int64.
        """
        maps = {}
        for name, cell in self.cells.items():
            batch, num_patches, _ = features[name].shape
            side = round(num_patches**0.5)
            predicted = self.predictors[name](features[name]).float()
            if name == 'rgb':
                if 'rgb' in self.normalised and target_stats:
                    every = torch.arange(batch * num_patches, device=predicted.device)
                    target = gather_patches(inputs['rgb'].float(), cell, every).flatten(1)
                    mean, deviation = patch_statistics(target)
                    predicted = predicted.flatten(0, 1) * deviation + mean
                patches = predicted.view(batch, num_patches, -1, cell, cell)
            elif name in self.num_classes:
                patches = predicted.view(batch, num_patches, cell, cell, -1).argmax(dim=-1)
            else:
                patches = predicted.view(batch, num_patches, cell, cell)
            maps[name] = scatter_patches(patches, (side, side))
        return maps
