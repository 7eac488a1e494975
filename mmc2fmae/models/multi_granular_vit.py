"""The shared encoder (paper III-B, Eq. 1): a plain ViT that reads several granularities."""

import torch
from mmengine.model import BaseModule, ModuleDict
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmc2fmae.label_ids import check_num_classes
from mmc2fmae.models.plain_vit import PlainViT
from mmc2fmae.models.tokens import TokenLayout, gather_patches


class LabelEmbedding(BaseModule):
    """Embed patches of a label map: one vector a class, then a linear patch projection (D8).

    Args:
        num_classes: Classes of the map; ids beyond (255, unknown) share one further vector.
        cell: Side of a patch in map pixels.
        class_dims: Width of a class vector.
        embed_dims: Width of a token.
        class_std: Deviation that the class vectors start with. At 1 patches of labels enter at the
            scale of normalised pixels; with MultiMAE's 0.02 the positions drown them for many
            epochs (docs/paper_notes.md, E6).
    """

    def __init__(
        self, num_classes: int, cell: int, class_dims: int, embed_dims: int, class_std: float = 1.0
    ) -> None:
        super().__init__(init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'))
        self.num_classes = num_classes
        self.class_std = class_std
        self.classes = nn.Embedding(num_classes + 1, class_dims)
        self.projection = nn.Linear(cell * cell * class_dims, embed_dims)

    def init_weights(self) -> None:
        """Initialise the projection by Xavier and the class vectors by a normal distribution."""
        super().init_weights()
        nn.init.normal_(self.classes.weight, std=self.class_std)

    def forward(self, labels: Tensor) -> Tensor:
        """Embed (K, cell, cell) ids as (K, D) tokens."""
        ids = labels.flatten(1).long().clamp(max=self.num_classes)
        return self.projection(self.classes(ids).flatten(1))


class ContinuousEmbedding(BaseModule):
    """Embed patches of a map of one quantity, such as depth, by a linear projection.

    Args:
        cell: Side of a patch in map pixels.
        embed_dims: Width of a token.
    """

    def __init__(self, cell: int, embed_dims: int) -> None:
        super().__init__(init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'))
        self.projection = nn.Linear(cell * cell, embed_dims)

    def forward(self, values: Tensor) -> Tensor:
        """Embed (K, cell, cell) values as (K, D) tokens."""
        return self.projection(values.flatten(1))


@MODELS.register_module()
class MultiGranularViT(PlainViT):
    """A plain ViT that can also encode visible patches of several granularities together.

    Given an image it is a :class:`PlainViT`, and its weights load into an ordinary ViT. Given
    granularities and a token layout, only visible patches are embedded and encoded (Eq. 1). All
    granularities share the fixed 2-D sin-cos positions (D12).

    Args:
        granularities: Granularities beside rgb, name to ``dict(num_classes, stride, class_dims,
            class_std)``: number of classes, photograph pixels per map pixel (default 4), width of a
            class vector (default 64) and the deviation it starts with (default 1). One without
            ``num_classes`` is continuous, a quantity such as depth at stride 1.
        patch_size: Side of a patch in pixels.
        **kwargs: Passed to :class:`PlainViT` (``arch``: 'deit-small', 'base', 'large', 'huge' are
            ViT-S, B, L, H).

    Raises:
        ValueError: The image is no multiple of the patch, or a patch no multiple of a stride.
    """

    cls_token: nn.Parameter

    def __init__(
        self,
        granularities: dict | None = None,
        arch: str | dict = 'base',
        img_size: int = 224,
        patch_size: int = 16,
        init_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        super().__init__(
            arch=arch, img_size=img_size, patch_size=patch_size, init_cfg=init_cfg, **kwargs
        )
        self.pos_embed.requires_grad = False
        self.cells = {'rgb': patch_size}
        self.num_classes = {}
        self.label_embeds = ModuleDict()
        for name, spec in (granularities or {}).items():
            labels = 'num_classes' in spec
            stride = spec.get('stride', 4 if labels else 1)
            if patch_size % stride:
                raise ValueError(
                    f'granularity {name!r} has stride {stride}, which does not divide the patch '
                    f'size {patch_size}'
                )
            self.cells[name] = patch_size // stride
            if not labels:
                self.label_embeds[name] = ContinuousEmbedding(self.cells[name], self.embed_dims)
                continue
            check_num_classes(name, spec['num_classes'])
            self.num_classes[name] = spec['num_classes']
            self.label_embeds[name] = LabelEmbedding(
                spec['num_classes'],
                self.cells[name],
                spec.get('class_dims', 64),
                self.embed_dims,
                spec.get('class_std', 1.0),
            )

    @property
    def granularities(self) -> list[str]:
        """Names of the granularities in the order of the token sequence, rgb first."""
        return list(self.cells)

    @property
    def num_patches(self) -> int:
        """Patches of one granularity, N."""
        return self.patch_resolution[0] * self.patch_resolution[1]

    def embed(self, inputs: dict[str, Tensor], layout: TokenLayout) -> Tensor:
        """Embed the visible patches only.

        Args:
            inputs: rgb (B, 3, H, W) normalised, label maps (B, h, w) integers, continuous maps
                (B, H, W) floats.
            layout: Token layout whose masks follow :attr:`granularities`.

        Returns:
            (B, V, D) tokens with positions.

        Raises:
            ValueError: A map or a mask does not have the size that the model was built for.
        """
        parts = []
        for name, cell in self.cells.items():
            expected = tuple(side * cell for side in self.patch_resolution)
            if inputs[name].shape[-2:] != expected:
                raise ValueError(
                    f'{name} maps are {tuple(inputs[name].shape[-2:])}, the model expects '
                    f'{expected}: set model.backbone.img_size and the crop size (and label_stride) '
                    'to the same image'
                )
            layout.check_grid(*map(int, self.patch_resolution))
            patches = gather_patches(inputs[name], cell, layout.sources[name])
            if name == 'rgb':
                projection = self.patch_embed.projection
                weight = projection.weight.flatten(1)
                parts.append(nn.functional.linear(patches.flatten(1), weight, projection.bias))
            else:
                parts.append(self.label_embeds[name](patches))
        slots = torch.cat([layout.slots[name] for name in self.cells])
        tokens = torch.cat(parts)
        tokens = torch.empty_like(tokens).index_copy(0, slots, tokens)
        positions = self.pos_embed[0, self.num_extra_tokens :][layout.visible % self.num_patches]
        return tokens.view(*layout.visible.shape, -1) + positions

    def encode(self, tokens: Tensor) -> Tensor:
        """Encode visible tokens together with the class tokens, P of them, usually 1 (Eq. 1).

        Args:
            tokens: (B, V, D) embedded tokens.

        Returns:
            (B, P + V, D) features, class tokens first, normalised unless ``final_norm=False``.
        """
        cls_token = self.cls_token + self.pos_embed[:, : self.num_extra_tokens]
        cls_token = cls_token.expand(len(tokens), -1, -1)
        x = torch.cat([cls_token.to(tokens.dtype), tokens], dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.ln1(x) if self.final_norm else x
