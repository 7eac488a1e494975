"""The masking transform: a thin shell over :mod:`mmc2fmae.masking`."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mmc2fmae.masking import (
    MaskingRules,
    build_curriculum,
    leading_strategy,
    patch_labels,
    progressive_mask,
    sample_visible_counts,
)


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
        alpha: See :class:`mmc2fmae.masking.MaskingRules`, as for the following.
        min_area: Smallest instance that guides the mask.
        max_instances: Most instances that guide the mask.
        class_weights: Weights w_c of Eq. 5.
        blend: 'top-k' as printed, or 'draw': a sample takes one strategy.
        object_cap: Most of the objects' patches that an instance-guided mask takes.
        prefer: Which instances ``max_instances`` keeps, 'largest' or 'central'.

    Raises:
        ValueError: An option is unknown or out of range, or a map that guides is not read.
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
        blend: str = 'top-k',
        object_cap: float = 1.0,
        prefer: str = 'largest',
    ) -> None:
        self.granularities = tuple(granularities)
        self.patch_size = patch_size
        self.num_visible = num_visible
        self.curriculum = build_curriculum(curriculum)
        self.concentration = concentration
        self.rules = MaskingRules(
            blend=blend,
            alpha=alpha,
            min_area=min_area,
            max_instances=max_instances,
            prefer=prefer,
            object_cap=object_cap,
            class_weights=class_weights,
        )
        if concentration <= 0:
            raise ValueError(f'concentration is {concentration}: expected a positive number')
        if self.rules.choose_objects and 'instance' not in self.granularities:
            raise ValueError(
                f'object_cap is {object_cap} and prefer {prefer!r}, but without instance maps '
                f'there are no objects: the granularities are {list(self.granularities)}; add '
                "'instance' or leave both out"
            )
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
        """Add ``masks`` and ``mask_shares``.

        ``masks`` is a dict of (N,) boolean arrays per granularity, True where masked;
        ``mask_shares`` the share of masked patches that each of ``STRATEGIES`` explains.

        Raises:
            ValueError: The image is no multiple of the patch, has fewer than ``num_visible``
                tokens or too many for ``object_cap``, or lacks a granularity.
        """
        unknown = [g for g in self.granularities if g not in results['granularities']]
        if unknown:
            raise ValueError(
                f'masking names granularities {unknown}, the sample has '
                f'{results["granularities"]}: correct granularities of ProgressiveMasking or '
                'data_prefix of the dataset'
            )
        rng = results['rng']
        grid = self._grid(*results['rgb'].shape[:2])
        num_patches = grid[0] * grid[1]
        visible = sample_visible_counts(
            len(self.granularities), self.num_visible, num_patches, rng, self.concentration
        )
        alpha_s, alpha_i = self.rules.of_sample(self.curriculum(results['progress']), rng)
        guided = alpha_i and leading_strategy(alpha_s, alpha_i) in (None, 1)
        masks, shares = progressive_mask(
            num_patches - visible,
            grid,
            alpha_s,
            alpha_i,
            rng,
            semantic_labels=self._patch_labels(results, 'semantic') if alpha_s else None,
            instance_labels=self._patch_labels(results, 'instance') if guided else None,
            rules=self.rules,
        )
        results['masks'] = dict(zip(self.granularities, masks, strict=True))
        results['mask_shares'] = shares
        return results

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f'image size {height} x {width} is no multiple of patch_size {self.patch_size}'
            )
        grid = height // self.patch_size, width // self.patch_size
        num_patches = grid[0] * grid[1]
        total = len(self.granularities) * num_patches
        if not 0 < self.num_visible <= total:
            raise ValueError(
                f'num_visible is {self.num_visible}: expected 1 to {total} '
                f'({len(self.granularities)} granularities x {num_patches} patches)'
            )
        self.rules.check_cap(self.num_visible, total)
        return grid

    def _patch_labels(self, results: dict, granularity: str) -> np.ndarray:
        labels = results[granularity]
        stride = results['rgb'].shape[0] // labels.shape[0]
        return patch_labels(labels, self.patch_size // stride)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(granularities={self.granularities}, '
            f'patch_size={self.patch_size}, num_visible={self.num_visible}, '
            f'curriculum={self.curriculum}, concentration={self.concentration}, '
            f'rules={self.rules})'
        )
