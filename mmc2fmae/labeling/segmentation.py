"""Masks from boxes by HQ-SAM (III-A, second stage)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmc2fmae.labeling.models import SEGMENTER, PublishedModel, UnusableOutput, batches

BOXES_AT_ONCE = 32
"""Boxes of a decoder pass: their masks are held at input size, in float32."""


class SamHqSegmenter(PublishedModel):
    """Turns boxes into masks; an image is encoded once, whatever the number of its boxes.

    The encoder runs in mixed precision, the much lighter decoder in float32: half precision would
    round a corner by up to a quarter of a pixel (float16) or four (bfloat16) at 1024 pixels.
    Masks are those of the high-quality token alone, as HQ-SAM's authors advise for photographs
    with one main object; they add the plain SAM mask for crowded ones.

    Args:
        model: Folder or hub id.
        device: Where it runs.
        amp: Type of the encoder's mixed precision, or None for float32.
        batch_size: Most images at a time.
    """

    def __init__(
        self,
        model: str = SEGMENTER,
        device: str | torch.device = 'cpu',
        amp: torch.dtype | None = None,
        batch_size: int = 4,
    ) -> None:
        super().__init__(model, ('SamHQModel', 'SamImageProcessor'), device, amp, batch_size)

    @torch.inference_mode()
    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Segment what is in the boxes; images without boxes cost nothing.

        Args:
            images: (h, w, 3) uint8 RGB each.
            boxes: (n, 4) corners x1, y1, x2, y2 in pixels, for each image.

        Returns:
            (n, h, w) boolean masks of each image.

        Raises:
            UnusableOutput: Masks of an image are not finite.
        """
        masks = [np.zeros((0, *image.shape[:2]), bool) for image in images]
        asked = [i for i, own in enumerate(boxes) if len(own)]
        # All inputs are squares of one size, so any images share a batch.
        for batch in batches([0] * len(asked), self.batch_size):
            chosen = [asked[k] for k in batch]
            inputs = self.preprocess([images[i] for i in chosen])
            with self.autocast():
                encoded, early = self.model.get_image_embeddings(inputs['pixel_values'])
            for k, i in enumerate(chosen):
                one = slice(k, k + 1)
                sizes = inputs['original_sizes'][one], inputs['reshaped_input_sizes'][one]
                features = encoded[one].float(), [stage[one].float() for stage in early]
                prompts = torch.as_tensor(boxes[i], dtype=torch.float32).split(BOXES_AT_ONCE)
                masks[i] = np.concatenate(
                    [self._decode(*features, own, sizes, i) for own in prompts]
                )
        return masks

    def _decode(
        self,
        encoded: Tensor,
        early: list[Tensor],
        boxes: Tensor,
        sizes: tuple[Tensor, Tensor],
        index: int,
    ) -> np.ndarray:
        """Return (n, h, w) masks of boxes of one image; sizes are the stored and the input's."""
        (height, width), (input_height, input_width) = (size[0].tolist() for size in sizes)
        scale = boxes.new_tensor([input_width / width, input_height / height] * 2)
        logits = self.model(
            image_embeddings=encoded,
            intermediate_embeddings=early,  # left out, the high-quality features silently vanish
            input_boxes=(boxes * scale)[None].to(self.device),
            multimask_output=False,  # a box is not ambiguous: one mask, not three nested ones
            hq_token_only=True,
        ).pred_masks
        if not logits.isfinite().all():
            raise UnusableOutput('masks', index)
        (masks,) = self.processor.post_process_masks(logits, *sizes)
        return masks[:, 0].cpu().numpy()
