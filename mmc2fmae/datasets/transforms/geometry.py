"""One crop and one flip for all granularities; labels by nearest neighbour."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torch.nn.functional import interpolate

from mmc2fmae.datasets.encoded import Box, EncodedPhotograph


def crop_labels(labels: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Crop and resize a label map by nearest neighbour: no id is ever invented.

    Args:
        labels: (H, W) ids of any integer type.
        box: (left, top, right, bottom) in pixels.
        size: (height, width) of the result.

    Returns:
        (height, width) ids, each taken at the centre of its cell.
    """
    return labels[_cell_centres(box, size)]


def _cell_centres(box: Box, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (height, 1) and columns (width,) of the pixels at the centres of the cells."""
    left, top, right, bottom = box
    rows = top + (np.arange(size[0]) + 0.5) * ((bottom - top) / size[0])
    columns = left + (np.arange(size[1]) + 0.5) * ((right - left) / size[1])
    return rows.astype(np.int64)[:, None], columns.astype(np.int64)


def crop_pixels(pixels: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Crop a photograph and resize it by an antialiased bicubic filter.

    Pillow's filter, computed by torch on bytes in a quarter of the time: of real photographs, less
    than one value in a thousand differs by more than one grey level (docs/benchmarks.md).

    Args:
        pixels: (H, W, 3) uint8.
        box: (left, top, right, bottom) in pixels.
        size: (height, width) of the result.

    Returns:
        (height, width, 3) uint8; as torch leaves it, a view of three planes.
    """
    left, top, right, bottom = box
    # Cropped before it is resized, as torchvision does: no pixel outside the box bleeds in.
    inside = torch.from_numpy(np.ascontiguousarray(pixels[top:bottom, left:right]))
    resized = interpolate(inside.permute(2, 0, 1)[None], size, mode='bicubic', antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def crop_by_pillow(pixels: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Crop and resize a photograph as :func:`crop_pixels` does, by Pillow, for evaluation."""
    image = Image.fromarray(pixels).crop(box)
    return np.array(image.resize(size[::-1], Image.Resampling.BICUBIC))


def crop_continuous(values: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Crop a map of a quantity and resize it as photographs are, by an antialiased bicubic filter.

    Args:
        values: (H, W) float32.
        box: (left, top, right, bottom) in pixels.
        size: (height, width) of the result.

    Returns:
        (height, width) float32.
    """
    image = Image.fromarray(values).crop(box)
    return np.array(image.resize(size[::-1], Image.Resampling.BICUBIC))


class JointCrop(BaseTransform):
    """Base of the crops: cut one box out of all granularities and resize it.

    The photograph and continuous maps (float32) are resized by an antialiased bicubic filter, label
    maps by nearest neighbour straight to their stride.

    Args:
        size: Side of the square result in pixels.
        label_stride: Pixels of the photograph per pixel of the label maps, 4 in the paper's setup
            (D8).

    Raises:
        ValueError: ``size`` is no multiple of ``label_stride``.
    """

    crop_photograph = staticmethod(crop_pixels)

    def __init__(self, size: int, label_stride: int = 4) -> None:
        if size % label_stride:
            raise ValueError(f'crop size {size} is no multiple of label_stride {label_stride}')
        self.size = size
        self.label_stride = label_stride

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Return (left, top, right, bottom) of the crop in a ``width`` x ``height`` image."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Replace ``rgb`` by (size, size, 3) uint8, label maps by their crop at the stride."""
        photograph = results['rgb']
        height, width = photograph.shape[:2]
        box = self.box(width, height, results['rng'])
        side = (self.size, self.size)
        if isinstance(photograph, EncodedPhotograph):
            results['rgb'] = photograph.crop(box, side)
        else:
            results['rgb'] = self.crop_photograph(photograph, box, side)
        centres = _cell_centres(box, (self.size // self.label_stride,) * 2)
        for granularity in results['granularities']:
            if granularity == 'rgb':
                continue
            values = results[granularity]
            if values.dtype.kind == 'f':
                results[granularity] = crop_continuous(values, box, side)
            else:
                results[granularity] = values[centres]
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
        self.scale = (scale[0], scale[1])
        self.ratio = (ratio[0], ratio[1])
        self.log_ratio = np.log(self.ratio)

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Draw the crop as torchvision's RandomResizedCrop does: ten tries, then the centre."""
        for _ in range(10):
            area = width * height * rng.uniform(*self.scale)
            aspect = np.exp(rng.uniform(*self.log_ratio))
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

    # What is evaluated keeps the filter that published numbers were made with.
    crop_photograph = staticmethod(crop_by_pillow)

    def __init__(self, size: int, label_stride: int = 4, crop_ratio: float = 1.0) -> None:
        super().__init__(size, label_stride)
        self.crop_ratio = crop_ratio

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
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
                values = results[granularity]
                encoded = isinstance(values, EncodedPhotograph)
                results[granularity] = values.mirror() if encoded else values[:, ::-1]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
