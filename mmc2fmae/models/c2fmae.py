"""C2FMAE as an mmpretrain self-supervised algorithm (arXiv 2603.09955)."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor

from mmc2fmae.label_ids import IGNORE
from mmc2fmae.models.self_supervisor import SelfSupervisor, compiled
from mmc2fmae.models.tokens import TokenLayout


def truncated_statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each map without its lowest and highest tenth (MultiMAE).

    Args:
        maps: (B, h, w) floats.

    Returns:
        Mean and deviation, (B, 1, 1) each; the deviation is never 0.
    """
    values = maps.flatten(1).sort(dim=1).values
    number = values.shape[1]
    middle = values[:, int(0.1 * number) : int(0.9 * number)]
    variance, mean = torch.var_mean(middle, dim=1, keepdim=True)
    return mean.unsqueeze(2), (variance + 1e-6).sqrt().unsqueeze(2)


@MODELS.register_module()
class MultiGranularPreprocessor(BaseDataPreprocessor):
    """Move a batch to the device, normalise it there and turn masks into a token layout.

    Continuous maps are standardised each by itself; see :func:`truncated_statistics`.

    Args:
        num_classes: Number of classes of each label granularity. C2FMAE fills it in.
        mean: Mean of the rgb channels in [0, 255].
        std: Deviation of the rgb channels in [0, 255].
        granularities: Order of the token sequence, by default rgb and the label granularities; what
            has no classes is continuous. C2FMAE fills it in.
    """

    def __init__(
        self,
        num_classes: dict[str, int],
        mean: tuple[float, ...] = (123.675, 116.28, 103.53),
        std: tuple[float, ...] = (58.395, 57.12, 57.375),
        granularities: Sequence[str] | None = None,
    ) -> None:
        super().__init__(non_blocking=True)
        self.num_classes = dict(num_classes)
        self.granularities = list(granularities or ['rgb', *num_classes])
        self.continuous = [g for g in self.granularities if g != 'rgb' and g not in num_classes]
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``inputs`` and ``data_samples`` (the token layout, None without masks).

        Raises:
            ValueError: The batch lacks a granularity that the model reads, has a class id that the
                model does not know, or ids where the model has no classes.
        """
        granularities = self.granularities
        inputs, masks = data['inputs'], data.get('masks')
        missing = set(granularities) - set(inputs if masks is None else masks)
        if missing:
            raise ValueError(
                f'the batch has granularities {sorted(inputs if masks is None else masks)}, the '
                f'model also reads {sorted(missing)}: add them to data_prefix and to the masking '
                'transform'
            )
        # Checks and index arithmetic happen on the CPU, where the batch is: no synchronisation.
        for name, number in self.num_classes.items():
            self._check_ids(name, number, inputs[name], data.get('path'))
        for name in self.continuous:
            if not inputs[name].is_floating_point():
                raise ValueError(
                    f'{name} maps hold {inputs[name].dtype}, but the model has no classes for '
                    f'them: give num_classes in model.backbone.granularities.{name}, or name it '
                    'in continuous of LoadMultiGranular'
                )
        layout = None
        if masks is not None:
            layout = TokenLayout.from_masks({g: masks[g] for g in granularities}).to(self.device)
        inputs = self.cast_data({g: inputs[g] for g in granularities})
        inputs['rgb'] = (inputs['rgb'].float() - self.mean) / self.std
        for name in self.continuous:
            mean, deviation = truncated_statistics(inputs[name])
            inputs[name] = (inputs[name] - mean) / deviation
        return dict(inputs=inputs, data_samples=layout)

    @staticmethod
    def _check_ids(name: str, number: int, maps: Tensor, paths: list[str] | None) -> None:
        unknown = (maps >= number) & (maps != IGNORE)
        if unknown.any():
            sample = int(unknown.flatten(1).any(dim=1).nonzero()[0])
            where = paths[sample] if paths else f'sample {sample} of the batch'
            raise ValueError(
                f'{name} map of {where} has class id {int(maps[sample][unknown[sample]].max())}, '
                f'the model knows 0 to {number - 1}: set num_classes of the model '
                f'(model.backbone.granularities.{name}) and of LoadMultiGranular alike'
            )


@MODELS.register_module()
class RgbPreprocessor(MultiGranularPreprocessor):
    """The normalised photograph alone, for mmpretrain's own algorithms such as MAE.

    Args:
        **kwargs: ``mean`` and ``std`` of :class:`MultiGranularPreprocessor`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(num_classes={}, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``inputs`` (B, 3, H, W); ``data_samples`` is None."""
        return dict(inputs=super().forward(data, training)['inputs']['rgb'], data_samples=None)


@MODELS.register_module()
class C2FMAE(SelfSupervisor):
    """Coarse-to-fine masked autoencoder: shared encoder, cascaded decoder, three losses.

    The backbone's config is the one source of granularities, patches and widths: what neck, head
    and preprocessor must share with it is filled in.

    Args:
        backbone: Config of a :class:`MultiGranularViT`.
        neck: Config of a :class:`CascadedDecoder` or a variant.
        head: Config of a :class:`MultiGranularHead`.
        data_preprocessor: Config of a :class:`MultiGranularPreprocessor`.
        compile: Compile encoder and decoder with ``torch.compile`` (a dict gives its options);
            their shapes are static, so they compile once.
        init_cfg: Initialisation of the whole model.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ) -> None:
        encoder = MODELS.build(backbone)
        decoder = MODELS.build(
            dict(
                granularities=encoder.granularities,
                num_patches=encoder.num_patches,
                in_dims=encoder.embed_dims,
            )
            | neck
        )
        shared = dict(num_classes=encoder.num_classes)
        in_channels = encoder.patch_embed.projection.in_channels
        super().__init__(
            backbone=encoder,
            neck=decoder,
            head=shared
            | dict(cells=encoder.cells, in_channels=in_channels, dims=decoder.dims)
            | head,
            data_preprocessor=dict(
                type='MultiGranularPreprocessor', granularities=encoder.granularities
            )
            | shared
            | (data_preprocessor or {}),
            init_cfg=init_cfg,
        )
        if compile:
            # The instance's attribute hides the method, which mypy takes for a mistake.
            self.autoencode = compiled(self.autoencode, compile)  # type: ignore[method-assign]

    def autoencode(self, tokens: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Encode (B, V, D) tokens and decode F^k of every granularity (Eq. 1 to 3)."""
        encoded, first = self.backbone.encode(tokens), self.backbone.num_extra_tokens
        return self.neck(encoded[:, first:], visible, encoded[:, :first])

    def loss(self, inputs: dict[str, Tensor], data_samples: TokenLayout) -> dict[str, Tensor]:
        """Compute the losses of Eq. 12, ``loss_<granularity>``.

        Args:
            inputs: rgb (B, 3, H, W) normalised, label maps (B, h, w), continuous maps (B, H, W).
            data_samples: Token layout of the batch.
        """
        tokens = self.backbone.embed(inputs, data_samples)
        features = self.autoencode(tokens, data_samples.visible)
        return self.head.loss(features, inputs, data_samples)

    def extract_feat(self, inputs: dict[str, Tensor] | Tensor) -> tuple:
        """Return the plain ViT's features of the unmasked photograph."""
        return self.backbone(inputs['rgb'] if isinstance(inputs, dict) else inputs)

    @torch.no_grad()
    def reconstruct(self, data: dict, target_stats: bool = True) -> dict[str, Tensor]:
        """Reconstruct all granularities of a collated batch from its visible tokens.

        Args:
            data: Batch of the data loader, with ``masks``.
            target_stats: See :meth:`MultiGranularHead.predict`.

        Returns:
            rgb (B, 3, H, W) float in [0, 255], label maps (B, h, w) int64, continuous maps
            (B, H, W) float in the scale of the data.
        """
        batch = self.data_preprocessor(data)
        inputs, layout = batch['inputs'], batch['data_samples']
        features = self.autoencode(self.backbone.embed(inputs, layout), layout.visible)
        maps = self.head.predict(features, inputs, target_stats)
        for name in self.data_preprocessor.continuous:
            mean, deviation = truncated_statistics(data['inputs'][name].to(maps[name]))
            maps[name] = maps[name] * deviation + mean
        rgb = maps['rgb'] * self.data_preprocessor.std + self.data_preprocessor.mean
        return maps | dict(rgb=rgb.clamp(0, 255))
