"""What SemanticMIM predicts: MaskFeat's histograms of gradients, or BEiT's discrete tokens."""

from pathlib import Path

import torch
from mmengine.model import BaseModule
from mmpretrain.models.selfsup.cae import DALLEEncoder
from mmpretrain.models.selfsup.maskfeat import HOGGenerator
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmc2fmae.checkpoints import read_state_dict
from mmc2fmae.errors import CheckpointMismatch

DALLE_URL = 'https://download.openmmlab.com/mmselfsup/1.x/target_generator_ckpt/dalle_encoder.pth'
DALLE_STRIDE = 8
"""Pixels along a token of DALL-E's encoder."""


@MODELS.register_module()
class HOGTarget(HOGGenerator):
    """MaskFeat's target (arXiv 2112.09133): histograms of oriented gradients of the patch's cells.

    Args:
        grid: Rows and columns of patches. SemanticMIM fills it in.
        patch_size: Side of a patch in pixels. SemanticMIM fills it in.
        nbins: Bins of orientation in half a turn.
        pool: Side of a cell in pixels.
        gaussian_window: Side in pixels of the window that weighs gradients, side by side.

    Raises:
        ValueError: Cells or windows do not divide the patch, or a number is none.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        patch_size: int,
        nbins: int = 9,
        pool: int = 8,
        gaussian_window: int = 16,
    ) -> None:
        for name, value in dict(nbins=nbins, pool=pool, gaussian_window=gaussian_window).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f'{name} of HOGTarget is {value!r}: expected a whole number from 1'
                )
        if patch_size % pool or patch_size % gaussian_window:
            raise ValueError(
                f'patches of {patch_size} pixels, cells of {pool}, windows of {gaussian_window}: '
                'set pool and gaussian_window of HOGTarget to divisors of the patch size'
            )
        super().__init__(nbins, pool, gaussian_window)
        self.cells = patch_size // pool
        self.dims = 3 * nbins * self.cells**2

    def forward(self, images: Tensor, pixels: Tensor) -> Tensor:
        """Describe (B, 3, H, W) normalised images as (B, N, dims) in fp32."""
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images.float())

    def _reshape(self, hog_feat: Tensor) -> Tensor:
        """Sort (B, 3, nbins, h, w) cells by patch; mmpretrain's wants 14 x 14 patches."""
        tiles = hog_feat.flatten(1, 2)
        tiles = tiles.unfold(2, self.cells, self.cells).unfold(3, self.cells, self.cells)
        return tiles.permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)

    @staticmethod
    def loss(predictions: Tensor, targets: Tensor) -> Tensor:
        """Average the squared error of (K, dims) predictions over patches and channels."""
        return F.mse_loss(predictions, targets)


@MODELS.register_module()
class DiscreteTokenTarget(BaseModule):
    """BEiT's target (arXiv 2106.08254): the token that DALL-E's frozen encoder gives the patch.

    The encoder sees the same crop, resized so that one of its tokens covers a patch (224 to 112).
    Checkpoints do not hold it: it never changes, and each start, a resumed one too, reads its file.

    Args:
        grid: Rows and columns of patches. SemanticMIM fills it in.
        patch_size: Side of a patch in pixels. SemanticMIM fills it in.
        weights: File with the weights of the encoder.
        vocab_size: Number of tokens.
        **encoder: Passed to mmpretrain's :class:`DALLEEncoder`.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        patch_size: int,
        weights: str,
        vocab_size: int = 8192,
        **encoder,
    ) -> None:
        super().__init__()
        self.size = [DALLE_STRIDE * side for side in grid]
        self.weights = weights
        self.dims = vocab_size
        self.encoder = DALLEEncoder(vocab_size=vocab_size, **encoder).requires_grad_(False)
        self._register_state_dict_hook(self._leave_encoder_out)
        self._register_load_state_dict_pre_hook(self._keep_own_encoder)

    def init_weights(self) -> None:
        """Fill the encoder from its file.

        Raises:
            FileNotFoundError: There is no such file.
            CheckpointMismatch: It does not fit the encoder.
        """
        advice = f'download {DALLE_URL}, or name another file in model.target_generator.weights'
        if not Path(self.weights).is_file():
            raise FileNotFoundError(f'{self.weights}, the tokenizer, does not exist: {advice}')
        found, own = read_state_dict(self.weights), self.encoder.state_dict()
        last = 'blocks.output.conv.w'
        if last in found and len(found[last]) != self.dims:
            raise CheckpointMismatch(
                f'{self.weights} has a vocabulary of {len(found[last])} tokens, '
                f'model.target_generator.vocab_size is {self.dims}: {advice}'
            )
        if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in own.items()}:
            raise CheckpointMismatch(f"{self.weights} does not fit DALL-E's encoder: {advice}")
        self.encoder.load_state_dict(found)

    @staticmethod
    def _leave_encoder_out(module, state_dict: dict, prefix: str, local_metadata: dict) -> None:
        for key in [key for key in state_dict if key.startswith(f'{prefix}encoder.')]:
            del state_dict[key]

    def _keep_own_encoder(self, state_dict: dict, prefix: str, *args) -> None:
        own = self.encoder.state_dict(prefix=f'{prefix}encoder.')
        state_dict.update({key: value for key, value in own.items() if key not in state_dict})

    @torch.no_grad()
    def forward(self, images: Tensor, pixels: Tensor) -> Tensor:
        """Return (B, N) tokens of (B, 3, H, W) pixels in [0, 255]."""
        with torch.autocast(pixels.device.type, enabled=False):
            view = F.interpolate(pixels.float(), self.size, mode='bicubic', antialias=True)
            # DALL-E keeps away from the ends of the range, where its logit would be infinite.
            view = 0.8 * view.clamp(0, 255) / 255 + 0.1
            return self.encoder(view).argmax(dim=1).flatten(1)

    @staticmethod
    def loss(predictions: Tensor, targets: Tensor) -> Tensor:
        """Average the cross-entropy of (K, vocab_size) logits and (K,) tokens."""
        return F.cross_entropy(predictions, targets)
