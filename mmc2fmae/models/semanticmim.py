"""SemanticMIM (arXiv 2406.10673): masked image modelling through a few proxy tokens.

Compression gathers the visible patches in the proxies, reconstruction predicts the masked patches
from the proxies alone; :meth:`ProxyViT.predict` is both. Written from the abstract and a list of
the published settings (docs/semanticmim.md).
"""

import math
from copy import deepcopy

import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmc2fmae.models.plain_vit import PlainViT
from mmc2fmae.models.self_supervisor import SelfSupervisor, compiled
from mmc2fmae.models.tokens import TokenLayout, gather_patches


@ROOT_MODELS.register_module()
class ProxyViT(PlainViT):
    """A plain ViT whose class tokens are the only way from visible to masked patches.

    Given an image alone it is a :class:`PlainViT`, and its weights without ``mask_token`` and
    ``reconstruction`` are those of a PlainViT with ``num_cls_tokens=proxies`` (1 in the baseline).

    Args:
        proxies: Number of proxies, P. 0 is the baseline: one class token, and ordinary attention
            among class token, visible and masked patches.
        init_std: Deviation of weights, tokens and positions at the start. 0.02 is for ViT-B; in a
            narrow encoder it is so small that fine-tuning suffers (docs/semanticmim.md).
        sincos_positions: Start the positions as 2-D sines and cosines, in place of noise. They are
            learned either way, but from noise that takes longer than a short training.
        depth_scaled_init: Divide what the i-th block (from 1) writes by sqrt(2 i) at the start, in
            both stacks, as BEiT does.
        **kwargs: Passed to :class:`PlainViT`, but ``num_cls_tokens``, ``window_size`` and
            ``checkpointing``.

    Raises:
        ValueError: ``proxies`` is no number of tokens, or an option does not go with proxies.
    """

    cls_token: nn.Parameter

    def __init__(
        self,
        proxies: int = 0,
        init_std: float = 0.02,
        sincos_positions: bool = False,
        depth_scaled_init: bool = False,
        **kwargs,
    ) -> None:
        if not isinstance(proxies, int) or proxies < 0:
            raise ValueError(
                f'proxies is {proxies!r}: expected 0 (the baseline) or a number of them'
            )
        refused = {'num_cls_tokens', 'with_cls_token', 'window_size', 'checkpointing'} & set(kwargs)
        if refused:
            raise ValueError(
                f'ProxyViT takes no {", ".join(sorted(refused))}: proxies alone says how many '
                'class tokens there are, and all blocks attend globally'
            )
        super().__init__(num_cls_tokens=max(proxies, 1), **kwargs)
        self.proxies = proxies
        self.init_std = init_std
        self.sincos_positions = sincos_positions
        self.depth_scaled_init = depth_scaled_init
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        if proxies:  # blocks of the same type with weights of their own
            self.reconstruction = deepcopy(self.layers)

    def init_weights(self) -> None:
        """Draw weights, tokens and positions from N(0, init_std²), as MaskFeat and BEiT do."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=self.init_std)
        drawn = [self.cls_token, self.mask_token]
        for token in drawn if self.sincos_positions else [*drawn, self.pos_embed]:
            nn.init.trunc_normal_(token, std=self.init_std)
        if self.depth_scaled_init:
            for stack in (self.layers, self.reconstruction if self.proxies else ()):
                for i, layer in enumerate(stack, start=1):
                    layer.attn.proj.weight.data /= math.sqrt(2 * i)
                    layer.ffn.layers[1].weight.data /= math.sqrt(2 * i)

    def embed(self, images: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
        """Embed the visible patches, and a mask token for each masked patch, all with positions.

        Args:
            images: (B, 3, H, W) normalised.
            layout: Token layout of ``rgb`` alone.

        Returns:
            (B, V, D) and (B, M, D) tokens.

        Raises:
            ValueError: Images or masks do not have the size that the model was built for.
        """
        expected = tuple(int(side) * self.patch_size for side in self.patch_resolution)
        if images.shape[-2:] != expected:
            raise ValueError(
                f'rgb images are {tuple(images.shape[-2:])}, the model expects {expected}: set '
                'model.backbone.img_size and the crop size to the same image'
            )
        layout.check_grid(*map(int, self.patch_resolution))
        positions = self.pos_embed[0, self.num_extra_tokens :]
        patches = gather_patches(images, self.patch_size, layout.sources['rgb'])
        projection = self.patch_embed.projection
        tokens = nn.functional.linear(
            patches.flatten(1), projection.weight.flatten(1), projection.bias
        )
        visible = tokens.view(*layout.visible.shape, -1) + positions[layout.visible]
        masked = layout.masked['rgb'].view(len(images), -1) % len(positions)
        return visible, self.mask_token + positions[masked]

    def predict(self, visible: Tensor, masked: Tensor) -> Tensor:
        """Compress the visible patches into the proxies and reconstruct the masked ones from them.

        Args:
            visible: (B, V, D) tokens of visible patches.
            masked: (B, M, D) mask tokens.

        Returns:
            (B, M, D) normalised features of the masked patches.
        """
        proxies = self.cls_token + self.pos_embed[:, : self.num_extra_tokens]
        x = torch.cat([proxies.expand(len(visible), -1, -1), visible], dim=1)
        if not self.proxies:  # the baseline: no phases, all tokens see each other
            x = torch.cat([x, masked], dim=1)
            for layer in self.layers:
                x = layer(x)
            return self.ln1(x[:, -masked.shape[1] :])
        for compress, reconstruct in zip(self.layers, self.reconstruction, strict=True):
            x = compress(x)
            context = torch.cat([x[:, : self.proxies], masked], dim=1)
            masked = masked + reconstruct.attn(reconstruct.ln1(context), context=self.proxies)
            masked = reconstruct.ffn(reconstruct.ln2(masked), identity=masked)
        return self.ln1(masked)


@MODELS.register_module()
class SemanticMIM(SelfSupervisor):
    """Predict a target of every masked patch, through proxies or, as the baseline, directly.

    Args:
        backbone: Config of a :class:`ProxyViT`.
        target_generator: Config of a :class:`HOGTarget` (MaskFeat) or :class:`DiscreteTokenTarget`
            (BEiT); the grid of patches is filled in.
        data_preprocessor: Config of a :class:`MultiGranularPreprocessor`.
        compile: Compile encoder and head with ``torch.compile`` (a dict gives its options); their
            shapes are static, so they compile once.
        init_cfg: Initialisation of the linear head, N(0, 0.02²) by default.
    """

    def __init__(
        self,
        backbone: dict,
        target_generator: dict,
        data_preprocessor: dict | None = None,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ) -> None:
        encoder = MODELS.build(backbone)
        rows, columns = map(int, encoder.patch_resolution)
        target = MODELS.build(
            dict(grid=(rows, columns), patch_size=encoder.patch_size) | target_generator
        )
        super().__init__(
            backbone=encoder,
            head=nn.Linear(encoder.embed_dims, target.dims),
            target_generator=target,
            data_preprocessor=dict(type='MultiGranularPreprocessor', num_classes={})
            | (data_preprocessor or {}),
            init_cfg=init_cfg or dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
        )
        if compile:
            # The instance's attribute hides the method, which mypy takes for a mistake.
            self.predict = compiled(self.predict, compile)  # type: ignore[method-assign]

    def predict(self, visible: Tensor, masked: Tensor) -> Tensor:
        """Predict the targets of (B, M, D) mask tokens from (B, V, D) visible ones."""
        return self.head(self.backbone.predict(visible, masked))

    def loss(self, inputs: dict[str, Tensor], data_samples: TokenLayout) -> dict[str, Tensor]:
        """Compare predictions with targets at the masked patches.

        Args:
            inputs: rgb (B, 3, H, W) normalised.
            data_samples: Token layout of the batch.
        """
        images = inputs['rgb']
        predictions = self.predict(*self.backbone.embed(images, data_samples))
        pixels = images * self.data_preprocessor.std + self.data_preprocessor.mean
        targets = self.target_generator(images, pixels).flatten(0, 1)[data_samples.masked['rgb']]
        return dict(loss=self.target_generator.loss(predictions.flatten(0, 1).float(), targets))

    def extract_feat(self, inputs: dict[str, Tensor] | Tensor) -> tuple:
        """Return the plain ViT's features of the unmasked photograph."""
        return self.backbone(inputs['rgb'] if isinstance(inputs, dict) else inputs)
