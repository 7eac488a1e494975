"""What a plain ViT looks like and how its images are prepared: read off weights and modules."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from typing import Any

import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from mmc2fmae.checkpoints.preprocessing import Preprocessing
from mmc2fmae.errors import CheckpointMismatch, first_names

# Heads cannot be read from weights. 64 dimensions a head is the rule, ViT-H and ViT-g leave it.
PUBLISHED_HEADS = {1280: 16, 1408: 16}


@dataclass(frozen=True)
class Architecture:
    """A plain ViT with class tokens and absolute positions.

    Attributes:
        embed_dims: Width of a token.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block; None where it is not known.
        feedforward_channels: Width inside of the MLPs.
        patch_size: Side of a patch in pixels.
        img_size: Height and width in pixels that the positions are for.
        in_channels: Channels of the image.
        qkv_bias: Whether queries, keys and values have a bias.
        final_norm: Whether a layer norm follows the last block (MultiMAE has none).
        pooled_norm: Whether a layer norm follows the mean over patches (fine-tuned MAE, BEiT).
        norm_eps: Epsilon of the layer norms.
        num_cls_tokens: Class tokens, P; several are SemanticMIM's proxies, none is possible in a
            module but not in a file.
    """

    embed_dims: int
    num_layers: int
    num_heads: int | None
    feedforward_channels: int
    patch_size: int
    img_size: tuple[int, int]
    in_channels: int
    qkv_bias: bool
    final_norm: bool
    pooled_norm: bool
    norm_eps: float
    num_cls_tokens: int = 1

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.img_size[0] // self.patch_size, self.img_size[1] // self.patch_size

    def options(self) -> dict[str, Any]:
        """Return what builds it as mmpretrain's VisionTransformer, with proxies as PlainViT."""
        proxies = dict(num_cls_tokens=self.num_cls_tokens) if self.num_cls_tokens > 1 else {}
        return dict(
            arch=dict(
                embed_dims=self.embed_dims,
                num_layers=self.num_layers,
                num_heads=self.num_heads,
                feedforward_channels=self.feedforward_channels,
            ),
            img_size=self.img_size,
            patch_size=self.patch_size,
            in_channels=self.in_channels,
            qkv_bias=self.qkv_bias,
            final_norm=self.final_norm,
            out_type='avg_featmap' if self.pooled_norm else 'raw',
            norm_cfg=dict(type='LN', eps=self.norm_eps),
            **proxies,
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight under our names."""
        width, inner, patch = self.embed_dims, self.feedforward_channels, self.patch_size
        tokens = self.num_cls_tokens + self.grid[0] * self.grid[1]
        shapes: dict[str, tuple[int, ...]] = dict(
            cls_token=(1, self.num_cls_tokens, width), pos_embed=(1, tokens, width)
        )
        shapes['patch_embed.projection.weight'] = (width, self.in_channels, patch, patch)
        shapes['patch_embed.projection.bias'] = (width,)
        for i in range(self.num_layers):
            layer = f'layers.{i}'
            for name, (out, into) in {
                'attn.qkv': (3 * width, width),
                'attn.proj': (width, width),
                'ffn.layers.0.0': (inner, width),
                'ffn.layers.1': (width, inner),
            }.items():
                shapes[f'{layer}.{name}.weight'] = (out, into)
                if name != 'attn.qkv' or self.qkv_bias:
                    shapes[f'{layer}.{name}.bias'] = (out,)
            shapes |= _norm_shapes([f'{layer}.ln1', f'{layer}.ln2'], width)
        norms = (['ln1'] if self.final_norm else []) + (['ln2'] if self.pooled_norm else [])
        return shapes | _norm_shapes(norms, width)

    def __str__(self) -> str:
        norms = [name for name in ('final_norm', 'pooled_norm') if getattr(self, name)]
        proxies = f', {self.num_cls_tokens} class tokens' if self.num_cls_tokens != 1 else ''
        return (
            f'width {self.embed_dims}, {self.num_layers} blocks, {self.num_heads or "unknown"} '
            f'heads, MLP {self.feedforward_channels}, patch {self.patch_size}, image '
            f'{self.img_size[0]}x{self.img_size[1]}x{self.in_channels}, qkv '
            f'{"with" if self.qkv_bias else "without"} bias, norms after the blocks: '
            f'{", ".join(norms) or "none"} (eps {self.norm_eps:g}){proxies}'
        )


def _norm_shapes(norms: Sequence[str], width: int) -> dict[str, tuple[int, ...]]:
    return {f'{norm}.{leaf}': (width,) for norm in norms for leaf in ('weight', 'bias')}


def statement(arch: Architecture, preprocessing: Preprocessing | None) -> dict[str, Any]:
    """Return plain numbers that a checkpoint can carry about its backbone.

    Args:
        arch: The backbone.
        preprocessing: Its preprocessing, None where it is not known.
    """
    said = asdict(arch) | dict(img_size=list(arch.img_size))
    if preprocessing:
        said |= dict(mean=list(preprocessing.mean), std=list(preprocessing.std))
    return said


def describe_module(vit: VisionTransformer) -> Architecture:
    """Describe a built ViT."""
    projection, first = vit.patch_embed.projection, vit.layers[0]
    patch = int(projection.kernel_size[0])
    rows, columns = map(int, vit.patch_resolution)
    return Architecture(
        embed_dims=int(vit.embed_dims),
        num_layers=int(vit.num_layers),
        num_heads=int(first.attn.num_heads),
        feedforward_channels=int(first.ffn.layers[1].in_features),
        patch_size=patch,
        img_size=(rows * patch, columns * patch),
        in_channels=int(projection.in_channels),
        qkv_bias=first.attn.qkv.bias is not None,
        final_norm=bool(vit.final_norm),
        pooled_norm=hasattr(vit, 'ln2'),
        norm_eps=float(first.ln1.eps),
        num_cls_tokens=count_tokens(vit.cls_token),
    )


def count_tokens(cls_token: Tensor | None) -> int:
    """Return the number of class tokens in a (1, P, D) parameter, 0 without one."""
    return 0 if cls_token is None else cls_token.shape[1]


def tokens_fit(given: int, own: int) -> bool:
    """Tell whether a module with so many class tokens can take a file's.

    A single one may be left out; proxies may not: the patches have learned to read them.

    Args:
        given: Class tokens of the file.
        own: Class tokens of the module.
    """
    return given == own or (given, own) == (1, 0)


def describe_preprocessor(
    preprocessor: nn.Module, img_size: tuple[int, int]
) -> Preprocessing | None:
    """Describe the preprocessing of an OpenMMLab data preprocessor.

    Args:
        preprocessor: Data preprocessor with buffers ``mean`` and ``std`` in [0, 255].
        img_size: Height and width in pixels.

    Returns:
        The preprocessing; None where the preprocessor does not normalise.
    """
    mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
    if not (isinstance(mean, Tensor) and isinstance(std, Tensor)):
        return None
    mean, std = (tuple((x.double().flatten() / 255).tolist()) for x in (mean, std))
    return Preprocessing(img_size, mean, std)


def describe_weights(
    weights: dict[str, Tensor], stated: dict[str, Any]
) -> tuple[Architecture, dict[str, Tensor]]:
    """Read the architecture off a ViT's weights and check that they are all there.

    Args:
        weights: Weights under our names; positions as (1, P + N, D), as (1, N, D) where the class
            tokens have none, or as a map (1, D, h, w).
        stated: What the file says beyond its weights; see :class:`CheckpointFile`.

    Returns:
        The architecture, and the weights with positions as (1, P + N, D): a class token without a
        position gets zeros.

    Raises:
        CheckpointMismatch: Weights are missing or have shapes that do not fit together.
    """
    weights = dict(weights)
    needed = ['patch_embed.projection.weight', 'pos_embed', 'cls_token', 'layers.0.attn.qkv.weight']
    needed += ['layers.0.ffn.layers.0.0.weight']
    if absent := [key for key in needed if key not in weights]:
        raise CheckpointMismatch(
            'lacks parts of a plain ViT with a class token and absolute positions: missing '
            + first_names(absent)
        )
    kernel = weights['patch_embed.projection.weight']
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3]:
        raise CheckpointMismatch(
            f'has a patch projection of shape {tuple(kernel.shape)}: expected square patches, '
            '(width, channels, size, size)'
        )
    width, channels, patch = kernel.shape[:3]
    tokens = _count_class_tokens(weights['cls_token'], stated)
    weights['pos_embed'], grid = _square_positions(weights['pos_embed'], tokens, patch, stated)
    heads = stated.get('num_heads')
    if heads is None:
        heads = PUBLISHED_HEADS.get(width) or (width // 64 if width % 64 == 0 else None)
    elif width % heads:
        raise CheckpointMismatch(f'is {width} wide, which {heads} heads do not divide')
    numbers = {int(key.split('.')[1]) for key in weights if key.startswith('layers.')}
    arch = Architecture(
        embed_dims=width,
        num_layers=max(numbers) + 1,
        num_heads=heads,
        feedforward_channels=len(weights['layers.0.ffn.layers.0.0.weight']),
        patch_size=patch,
        img_size=(grid[0] * patch, grid[1] * patch),
        in_channels=channels,
        qkv_bias='layers.0.attn.qkv.bias' in weights,
        final_norm='ln1.weight' in weights,
        pooled_norm='ln2.weight' in weights,
        norm_eps=stated.get('norm_eps', 1e-6),
        num_cls_tokens=tokens,
    )
    shapes = arch.shapes()
    lines = [f'  missing {key}' for key in shapes if key not in weights]
    lines += [f'  does not fit {key}' for key in weights if key not in shapes]
    lines += [
        f'  shape of {key}: {tuple(weights[key].shape)} in the file, {shape} in a plain ViT'
        for key, shape in shapes.items()
        if key in weights and weights[key].shape != shape
    ]
    if lines:
        raise CheckpointMismatch(f'is no plain ViT ({arch}):\n' + '\n'.join(lines))
    return arch, weights


def _count_class_tokens(cls_token: Tensor, stated: dict[str, Any]) -> int:
    """Return the number of class tokens, P, of a (1, P, D) parameter."""
    if cls_token.ndim != 3:
        raise CheckpointMismatch(
            f'has a class token of shape {tuple(cls_token.shape)}: expected (1, number, width)'
        )
    tokens = count_tokens(cls_token)
    if stated.get('num_cls_tokens', tokens) != tokens:
        raise CheckpointMismatch(
            f'says that it has {stated["num_cls_tokens"]} class tokens, but holds {tokens}'
        )
    return tokens


def _square_positions(
    positions: Tensor, tokens: int, patch: int, stated: dict[str, Any]
) -> tuple[Tensor, tuple[int, int]]:
    """Return positions as (1, tokens + h w, D), class tokens first, and their grid (h, w)."""
    if positions.ndim == 4:
        grid = (positions.shape[2], positions.shape[3])
        positions = positions.flatten(2).transpose(1, 2)
    elif positions.ndim != 3:
        raise CheckpointMismatch(
            f'has positions of shape {tuple(positions.shape)}: expected 3 axes'
        )
    elif 'img_size' in stated:
        height, width = stated['img_size']
        grid = (height // patch, width // patch)
    else:
        counts = (positions.shape[1] - tokens, positions.shape[1])
        grids = [isqrt(n) for n in counts if n > 0 and isqrt(n) ** 2 == n]
        if not grids:
            raise CheckpointMismatch(
                f'has {positions.shape[1]} positions: expected a square grid with or without the '
                f'{_tokens(tokens)}, and the file does not say its image size'
            )
        grid = (grids[0], grids[0])
    count = grid[0] * grid[1]
    if positions.shape[1] == count:
        zeros = positions.new_zeros(1, tokens, positions.shape[2])
        positions = torch.cat([zeros, positions], dim=1)
    if positions.shape[1] != tokens + count:
        raise CheckpointMismatch(
            f'has {positions.shape[1]} positions, but a grid of {grid[0]}x{grid[1]} patches and '
            f'the {_tokens(tokens)}'
        )
    return positions, grid


def _tokens(number: int) -> str:
    return 'class token' if number == 1 else f'{number} class tokens'
