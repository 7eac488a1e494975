"""Random colours of the photograph; label maps have none."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torchvision.transforms.functional import adjust_brightness, adjust_contrast, adjust_saturation


@TRANSFORMS.register_module()
class RandomColour(BaseTransform):
    """Change brightness, contrast and saturation in random order, each by a random factor.

    It draws as torchvision's ColorJitter does, but from the sample's own generator.

    Args:
        brightness: The factor is drawn from [1 - brightness, 1 + brightness].
        contrast: The same for contrast.
        saturation: The same for saturation.

    Raises:
        ValueError: An amount is not in [0, 1].
    """

    def __init__(
        self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4
    ) -> None:
        self.amounts = dict(brightness=brightness, contrast=contrast, saturation=saturation)
        for name, amount in self.amounts.items():
            if not 0 <= amount <= 1:
                raise ValueError(f'{name} of RandomColour is {amount}: expected 0 to 1')

    def transform(self, results: dict) -> dict:
        """Change ``rgb``, (h, w, 3) uint8 (before the crop)."""
        rng = results['rng']
        steps = list(
            zip(
                (adjust_brightness, adjust_contrast, adjust_saturation),
                [rng.uniform(1 - amount, 1 + amount) for amount in self.amounts.values()],
                strict=True,
            )
        )
        image = Image.fromarray(results['rgb'])
        for i in rng.permutation(len(steps)):
            change, factor = steps[i]
            image = change(image, factor)
        results['rgb'] = np.array(image)
        return results

    def __repr__(self) -> str:
        options = ', '.join(f'{name}={amount}' for name, amount in self.amounts.items())
        return f'{type(self).__name__}({options})'
