"""How images are prepared for a plain ViT."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.transforms import (
    CenterCrop,
    Compose,
    InterpolationMode,
    Normalize,
    PILToTensor,
    Resize,
    ToTensor,
)

from mmc2fmae.images.rgb import upright_middle

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the backbone's input.

    Attributes:
        size: Height and width in pixels.
        mean: Mean of the channels of an RGB image in [0, 1].
        std: Deviation of the channels.
        assumed: True where the checkpoint does not say, and these are ImageNet's numbers.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    assumed: bool = False

    def transform(self, size: int | None = None) -> Compose:
        """Return MAE's evaluation transform, from a PIL image to a (3, H, W) tensor.

        It is turned as its EXIF orientation says and becomes 8-bit RGB, as files do for every tool
        (:mod:`mmc2fmae.images`); the shorter side is resized to size * 256 / 224 (bicubic,
        antialiased), then the centre is cropped.

        Args:
            size: Side of the crop in pixels, in place of the checkpoint's.
        """
        return Compose(
            [upright_middle, *self._cut(size), ToTensor(), Normalize(self.mean, self.std)]
        )

    def pixels(self, size: int | None = None) -> Compose:
        """Return the cuts of :meth:`transform`, of an upright RGB image, to (3, H, W) uint8.

        Args:
            size: Side of the crop in pixels, in place of the checkpoint's.
        """
        return Compose([*self._cut(size), PILToTensor()])

    def normalise(self, pixels: Tensor) -> Tensor:
        """Do what :meth:`pixels` leaves of :meth:`transform`, for a batch and on its device.

        Args:
            pixels: (B, 3, H, W) uint8, of :meth:`pixels`.

        Returns:
            (B, 3, H, W) float32.
        """
        # By tensors of the device: by a plain number, a GPU multiplies by its rounded inverse.
        white, mean, std = (
            torch.tensor(numbers, device=pixels.device).view(-1, 1, 1)
            for numbers in ((255.0,), self.mean, self.std)
        )
        return pixels.float().div_(white).sub_(mean).div_(std)

    def _cut(self, size: int | None) -> list[nn.Module]:
        height, width = self.size if size is None else (size, size)
        return [
            Resize(round(max(height, width) * 256 / 224), InterpolationMode.BICUBIC),
            CenterCrop((height, width)),
        ]

    def __str__(self) -> str:
        rounded = [[round(x, 4) for x in numbers] for numbers in (self.mean, self.std)]
        note = " (ImageNet's: the file does not say)" if self.assumed else ''
        return f'RGB, mean {rounded[0]}, std {rounded[1]}{note}'
