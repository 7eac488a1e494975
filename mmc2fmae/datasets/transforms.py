"""Transforms of the multi-granular pipeline: load, crop, flip, label bookkeeping, mask, pack."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from mmc2fmae.datasets.label_ids import IGNORE, check_num_classes
from mmc2fmae.datasets.sample_io import SampleError, read_label_map, read_rgb
from mmc2fmae.masking import build_curriculum, patch_labels, progressive_mask, sample_visible_counts


@TRANSFORMS.register_module()
class LoadMultiGranular(BaseTransform):
    """Read a photograph and its label maps and check that they belong together.

    Args:
        num_classes: Number of classes of the granularities whose ids are classes, for example
            ``dict(semantic=133)``; larger ids, but for 255 (unknown), are an error.
    """

    def __init__(self, num_classes: dict | None = None) -> None:
        self.num_classes = dict(num_classes or {})
        for granularity, number in self.num_classes.items():
            check_num_classes(granularity, number)

    def transform(self, results: dict) -> dict:
        """Add ``rgb`` (PIL image) and one (H, W) id array per label granularity.

        Raises:
            SampleError: A file is unreadable, sizes differ, or a class id is out of range.
        """
        results['rgb'] = read_rgb(results['rgb_path'])
        for granularity in results['granularities']:
            if granularity != 'rgb':
                results[granularity] = self._load_labels(granularity, results)
        return results

    def _load_labels(self, granularity: str, results: dict) -> np.ndarray:
        path = results[f'{granularity}_path']
        labels = read_label_map(path)
        width, height = results['rgb'].size
        if labels.shape != (height, width):
            raise SampleError(
                f'{path}: {granularity} map is {labels.shape[1]} x {labels.shape[0]}, its '
                f'photograph {results["rgb_path"]} is {width} x {height}; make them equal (a photo '
                'with an EXIF rotation must be rotated for good first)'
            )
        limit = self.num_classes.get(granularity)
        if limit is None:
            return labels
        if labels.max() >= limit:
            ids = np.unique(labels)
            unknown = ids[(ids >= limit) & (ids != IGNORE)]
            if len(unknown):
                raise SampleError(
                    f'{path}: {granularity} class ids {unknown[:5].tolist()} are out of range, '
                    f'expected 0 to {limit - 1} (or 255 for unknown); correct the map or the '
                    'number of classes in the config'
                )
        return labels.astype(np.uint8, copy=False)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_classes={self.num_classes})'


def crop_labels(
    labels: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]
) -> np.ndarray:
    """Crop and resize a label map by nearest neighbour: no id is ever invented.

    Args:
        labels: (H, W) ids of any integer type.
        box: (left, top, right, bottom) in pixels.
        size: (height, width) of the result.

    Returns:
        (height, width) ids, each taken at the centre of its cell.
    """
    left, top, right, bottom = box
    rows = top + (np.arange(size[0]) + 0.5) * ((bottom - top) / size[0])
    columns = left + (np.arange(size[1]) + 0.5) * ((right - left) / size[1])
    return labels[rows.astype(np.int64)[:, None], columns.astype(np.int64)]


class JointCrop(BaseTransform):
    """Base of the crops: cut one box out of all granularities and resize it.

    The photograph is resized by Pillow's antialiased bicubic filter, the maps by nearest neighbour
    straight to their stride.

    Args:
        size: Side of the square result in pixels.
        label_stride: Pixels of the photograph per pixel of the label maps, 4 in the paper's setup
            (D8).

    Raises:
        ValueError: ``size`` is no multiple of ``label_stride``.
    """

    def __init__(self, size: int, label_stride: int = 4) -> None:
        if size % label_stride:
            raise ValueError(f'crop size {size} is no multiple of label_stride {label_stride}')
        self.size = size
        self.label_stride = label_stride

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Return (left, top, right, bottom) of the crop in a ``width`` x ``height`` image."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Replace ``rgb`` by (size, size, 3) uint8 and each map by its crop at the stride."""
        image = results['rgb']
        box = self.box(*image.size, results['rng'])
        side = (self.size, self.size)
        # Crop before resizing, as torchvision does: no pixel outside the box bleeds in.
        results['rgb'] = np.array(image.crop(box).resize(side, Image.Resampling.BICUBIC))
        label_side = (self.size // self.label_stride,) * 2
        for granularity in results['granularities']:
            if granularity != 'rgb':
                results[granularity] = crop_labels(results[granularity], box, label_side)
        return results


@TRANSFORMS.register_module()
class JointRandomResizedCrop(JointCrop):
    """Crop a random area and aspect ratio, the same for all granularities, and resize it.

    Args:
        size: Side of the square result in pixels.
        label_stride: Pixels of the photograph per pixel of the label maps.
        scale: Smallest and largest area of the crop relative to the image.
        ratio: Smallest and largest width to height.
    """

    def __init__(
        self,
        size: int,
        label_stride: int = 4,
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        super().__init__(size, label_stride)
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the crop as torchvision's RandomResizedCrop does: ten tries, then the centre."""
        for _ in range(10):
            area = width * height * rng.uniform(*self.scale)
            aspect = np.exp(rng.uniform(*np.log(self.ratio)))
            w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
                return (int(left), int(top), int(left) + w, int(top) + h)
        aspect = np.clip(width / height, *self.ratio)
        w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
        left, top = (width - w) // 2, (height - h) // 2
        return (left, top, left + w, top + h)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, label_stride={self.label_stride}, '
            f'scale={self.scale}, ratio={self.ratio})'
        )


@TRANSFORMS.register_module()
class JointCenterCrop(JointCrop):
    """Crop the centre square, the same for all granularities, and resize it (no randomness).

    Args:
        size: Side of the square result in pixels.
        label_stride: Pixels of the photograph per pixel of the label maps.
        crop_ratio: Side of the square relative to the short side of the image.
    """

    def __init__(self, size: int, label_stride: int = 4, crop_ratio: float = 1.0) -> None:
        super().__init__(size, label_stride)
        self.crop_ratio = crop_ratio

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Return the centre square."""
        side = round(min(width, height) * self.crop_ratio)
        left, top = (width - side) // 2, (height - side) // 2
        return (left, top, left + side, top + side)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, label_stride={self.label_stride}, '
            f'crop_ratio={self.crop_ratio})'
        )


@TRANSFORMS.register_module()
class JointRandomFlip(BaseTransform):
    """Mirror all granularities together.

    Args:
        prob: Probability of a flip.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Flip every granularity along its width, or none."""
        if results['rng'].random() < self.prob:
            for granularity in results['granularities']:
                results[granularity] = results[granularity][:, ::-1]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'


@TRANSFORMS.register_module()
class SemanticFromInstance(BaseTransform):
    """Make the semantic map from the instance map: one class where an instance is, else 0.

    For own data with masks of one kind of object and no semantic maps.

    Args:
        class_id: Class of every instance.
    """

    def __init__(self, class_id: int = 1) -> None:
        self.class_id = class_id

    def transform(self, results: dict) -> dict:
        """Add ``semantic`` with the shape of ``instance``."""
        results['semantic'] = (results['instance'] > 0).astype(np.uint8) * self.class_id
        results['granularities'] = [*results['granularities'], 'semantic']
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(class_id={self.class_id})'


@TRANSFORMS.register_module()
class CanonicalInstances(BaseTransform):
    """Bring instance ids into the classes that the instance loss predicts (D10).

    Args:
        num_instances: Number of classes, background included; larger ids become background.
        rerank: Renumber what is in the crop by descending area (lower id on a tie), for maps
            whose ids are not canonical yet.
    """

    def __init__(self, num_instances: int = 32, rerank: bool = False) -> None:
        check_num_classes('instance', num_instances)
        self.num_instances = num_instances
        self.rerank = rerank

    def transform(self, results: dict) -> dict:
        """Replace ``instance`` by ids in [0, num_instances)."""
        labels = results['instance']
        if self.rerank:
            ids, inverse, areas = np.unique(labels, return_inverse=True, return_counts=True)
            order = np.lexsort((ids, -areas, ids != 0))  # background first, then by area
            rank = np.empty(len(ids), dtype=np.int32)
            rank[order] = np.arange(len(ids)) + (ids[0] != 0)
            labels = rank[inverse].reshape(labels.shape)
        labels = np.where(labels < self.num_instances, labels, 0)
        results['instance'] = labels.astype(np.uint8, copy=False)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_instances={self.num_instances}, rerank={self.rerank})'


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


@TRANSFORMS.register_module()
class PackMultiGranular(BaseTransform):
    """Turn a sample into plain tensors that the default collate stacks.

    The batch has ``inputs`` (rgb (B, 3, H, W) uint8, maps (B, h, w)), ``masks`` (B, N) per
    granularity, and ``path`` and ``skipped`` strings.
    """

    def transform(self, results: dict) -> dict:
        """Return the packed sample; ``masks`` is absent where no mask was drawn."""
        inputs = {}
        for granularity in results['granularities']:
            value = np.ascontiguousarray(results[granularity])
            inputs[granularity] = torch.from_numpy(value)
        inputs['rgb'] = inputs['rgb'].permute(2, 0, 1).contiguous()
        packed = dict(inputs=inputs, path=results['rgb_path'], skipped=results['skipped'])
        if 'masks' in results:
            packed['masks'] = {g: torch.from_numpy(m) for g, m in results['masks'].items()}
        return packed

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
