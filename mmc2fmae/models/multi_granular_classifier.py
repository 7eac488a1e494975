"""Fine-tuning with all granularities as input: the dagger row of Table I."""

from collections.abc import Sequence

import torch
from mmpretrain.models import ImageClassifier, RandomBatchAugment
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.functional import one_hot

from mmc2fmae.models.c2fmae import MultiGranularPreprocessor
from mmc2fmae.models.tokens import TokenLayout


@MODELS.register_module()
class LabelledMultiGranularPreprocessor(MultiGranularPreprocessor):
    """A :class:`MultiGranularPreprocessor` whose ``data_samples`` hold the class of each sample."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``inputs`` and one DataSample a photograph."""
        labels = self.cast_data(data['gt_label'])
        samples = [DataSample().set_gt_label(label) for label in labels.view(-1, 1)]
        return super().forward(data) | dict(data_samples=samples)


@MODELS.register_module()
class MultiGranularClassifier(ImageClassifier):
    """Classify from all tokens of all granularities, averaged (Table I, dagger).

    Mixup and CutMix act on embedded tokens. For mixup this equals mixing pixels, since the
    embedding is affine, and it is the only way to mix label maps; CutMix boxes are cut along
    patches, the same for all granularities.

    Args:
        backbone: Config of a :class:`MultiGranularViT` with ``out_type='avg_featmap'``.
        head: Config of a classification head.
        data_preprocessor: Config of a :class:`LabelledMultiGranularPreprocessor`; the classes of
            the granularities are filled in.
        train_cfg: ``dict(augments=...)`` as of mmpretrain's ImageClassifier, or None.
        init_cfg: Initialisation of the whole model.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        encoder = MODELS.build(backbone)
        preprocessor = dict(
            type='LabelledMultiGranularPreprocessor',
            num_classes=encoder.num_classes,
            granularities=encoder.granularities,
        ) | (data_preprocessor or {})
        super().__init__(
            backbone=encoder,
            head=head,
            data_preprocessor=MODELS.build(preprocessor),
            init_cfg=init_cfg,
        )
        self.mix = RandomBatchAugment(**train_cfg) if train_cfg else None

    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        """Embed every patch of every granularity; returns (B, M * N, D) tokens."""
        shape = (len(inputs['rgb']), self.backbone.num_patches)
        nothing = torch.zeros(shape, dtype=torch.bool, device=inputs['rgb'].device)
        layout = TokenLayout.from_masks(dict.fromkeys(self.backbone.granularities, nothing))
        return self.backbone.embed(inputs, layout)

    def pool(self, tokens: Tensor) -> tuple[Tensor]:
        """Encode (B, L, D) tokens and average all but class tokens; returns ((B, D),)."""
        patches = self.backbone.encode(tokens)[:, self.backbone.num_extra_tokens :]
        return (self.backbone.ln2(patches.mean(dim=1)),)

    def extract_feat(self, inputs: dict[str, Tensor], stage: str = 'neck') -> tuple[Tensor]:
        """Return the pooled features of a batch."""
        return self.pool(self.embed(inputs))

    def loss(self, inputs: dict[str, Tensor], data_samples: Sequence[DataSample]) -> dict:
        """Compute the loss of a batch, mixed where ``train_cfg`` says so.

        Args:
            inputs: rgb (B, 3, H, W) normalised, label maps (B, h, w) integers.
            data_samples: Class of each sample.
        """
        tokens = self.embed(inputs)
        if self.mix:
            labels = torch.cat([sample.gt_label for sample in data_samples])
            grid = self.backbone.patch_resolution
            number = len(self.backbone.granularities)
            # (B, M * N, D) as a picture of M * D channels, so that one box cuts all granularities.
            tiles = tokens.unflatten(1, (number, *grid)).permute(0, 1, 4, 2, 3).flatten(1, 2)
            tiles, scores = self.mix(tiles, one_hot(labels, self.head.num_classes))
            tokens = tiles.unflatten(1, (number, -1)).permute(0, 1, 3, 4, 2).flatten(1, 3)
            data_samples = [DataSample().set_gt_score(score) for score in scores]
        return self.head.loss(self.pool(tokens), data_samples)
