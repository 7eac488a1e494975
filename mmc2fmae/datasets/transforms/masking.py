"""The masking transform: a thin shell over :mod:`mmc2fmae.masking`."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mmc2fmae.masking import build_curriculum, patch_labels, progressive_mask, sample_visible_counts


@TRANSFORMS.register_module()
class ProgressiveMasking(BaseTransform):
    """Choose the masked patches of every granularity (paper III-D, Eq. 5 to 11).

    A thin shell over :mod:`mmc2fmae.masking`; the progress t comes with the sample.

    Args:
        granularities: Granularities that the model reads.
        patch_size: Side of a patch in pixels.
        num_visible: Visible tokens over all granularities, V (D1).
        curriculum: Name of a preset (Tables VIb-c) or ``dict(alpha_s=knots, alpha_i=knots)``.
        concentration: Dirichlet concentration of the token budget (D2).
        alpha: Share of masked patches that falls on objects, in (0.5, 1] (Eq. 8).
        min_area: Smallest instance that guides the mask, in patches (D4).
        max_instances: Most instances that guide the mask, the largest first (D4).
        class_weights: Weights w_c of Eq. 5 by class id; others weigh 1.

    Raises:
        ValueError: An option is out of range, or the curriculum needs a map that is not read.
    """

    def __init__(
        self,
        granularities: tuple[str, ...] = ('rgb', 'instance', 'semantic'),
        patch_size: int = 16,
        num_visible: int = 98,
        curriculum: str | dict = 'SG-IG-RD',
        concentration: float = 1.0,
        alpha: float = 0.75,
        min_area: int = 1,
        max_instances: int | None = None,
        class_weights: dict | None = None,
    ) -> None:
        self.granularities = tuple(granularities)
        self.patch_size = patch_size
        self.num_visible = num_visible
        self.curriculum = build_curriculum(curriculum)
        self.concentration = concentration
        self.alpha = alpha
        self.min_area = min_area
        self.max_instances = max_instances
        self.class_weights = class_weights
        if not 0.5 < alpha <= 1:
            raise ValueError(f'alpha is {alpha}: expected more than 0.5 and at most 1 (Eq. 8)')
        if concentration <= 0:
            raise ValueError(f'concentration is {concentration}: expected a positive number')
        for name, knots in (
            ('semantic', self.curriculum.alpha_s),
            ('instance', self.curriculum.alpha_i),
        ):
            if any(value > 0 for _, value in knots) and name not in self.granularities:
                raise ValueError(
                    f'curriculum {curriculum!r} is guided by the {name} map, but the granularities '
                    f"are {list(self.granularities)}: add it or use curriculum='RD'"
                )

    def transform(self, results: dict) -> dict:
        """Add ``masks``: a dict of (N,) boolean arrays per granularity, True where masked.

        Raises:
            ValueError: The image is no multiple of the patch, has fewer than ``num_visible``
                tokens, or lacks a granularity.
        """
        unknown = [g for g in self.granularities if g not in results['granularities']]
        if unknown:
            raise ValueError(
                f'masking names granularities {unknown}, the sample has '
                f'{results["granularities"]}: correct granularities of ProgressiveMasking or '
                'data_prefix of the dataset'
            )
        rng = results['rng']
        num_patches = self._num_patches(*results['rgb'].shape[:2])
        alpha_s, alpha_i = self.curriculum(results['progress'])
        visible = sample_visible_counts(
            len(self.granularities), self.num_visible, num_patches, rng, self.concentration
        )
        masks = progressive_mask(
            num_patches - visible,
            num_patches,
            alpha_s,
            alpha_i,
            rng,
            semantic_labels=self._patch_labels(results, 'semantic') if alpha_s else None,
            instance_labels=self._patch_labels(results, 'instance') if alpha_i else None,
            class_weights=self.class_weights,
            alpha=self.alpha,
            min_area=self.min_area,
            max_instances=self.max_instances,
        )
        results['masks'] = dict(zip(self.granularities, masks, strict=True))
        return results

    def _num_patches(self, height: int, width: int) -> int:
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f'image size {height} x {width} is no multiple of patch_size {self.patch_size}'
            )
        num_patches = (height // self.patch_size) * (width // self.patch_size)
        total = len(self.granularities) * num_patches
        if not 0 < self.num_visible <= total:
            raise ValueError(
                f'num_visible is {self.num_visible}: expected 1 to {total} '
                f'({len(self.granularities)} granularities x {num_patches} patches)'
            )
        return num_patches

    def _patch_labels(self, results: dict, granularity: str) -> np.ndarray:
        labels = results[granularity]
        stride = results['rgb'].shape[0] // labels.shape[0]
        return patch_labels(labels, self.patch_size // stride)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(granularities={self.granularities}, '
            f'patch_size={self.patch_size}, num_visible={self.num_visible}, '
            f'curriculum={self.curriculum}, concentration={self.concentration}, '
            f'alpha={self.alpha}, min_area={self.min_area}, max_instances={self.max_instances}, '
            f'class_weights={self.class_weights})'
        )
