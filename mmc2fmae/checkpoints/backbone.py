"""The backbone of any checkpoint: its weights under our names, what it is, how to feed it."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import MODELS
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mmc2fmae.checkpoints.architecture import (
    Architecture,
    count_tokens,
    describe_weights,
    tokens_fit,
)
from mmc2fmae.checkpoints.files import check_caller, read_file
from mmc2fmae.checkpoints.naming import explain, find_encoder, to_our_names
from mmc2fmae.checkpoints.preprocessing import Preprocessing
from mmc2fmae.errors import CheckpointMismatch, first_names

OUT_TYPES = ('raw', 'cls_token', 'featmap')


@dataclass
class Backbone:
    """A plain ViT from a checkpoint.

    Attributes:
        weights: Every weight of the ViT under our (mmpretrain's) names.
        arch: What it looks like.
        preprocessing: How images are prepared for it.
        source: The file, and how it names things.
        stated: What the file says beyond its weights; see :class:`CheckpointFile`.
        label_embeds: Embeddings of further granularities, in files of C2FMAE.
        unused: Keys of the file that lie beside the encoder.
    """

    weights: dict[str, Tensor]
    arch: Architecture
    preprocessing: Preprocessing
    source: str
    stated: dict[str, Any] = field(default_factory=dict)
    label_embeds: dict[str, Tensor] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Say in a few lines what was read, what was filled and what was left."""
        total = len(self.arch.shapes())
        numbers = sum(value.numel() for value in self.weights.values())
        assumed = 'num_heads' not in self.stated and self.arch.num_heads is not None
        heads = '; heads are assumed, --num-heads overrides' if assumed else ''
        groups = Counter(re.sub(r'^((module\.)?[^.]+).*', r'\1', key) for key in self.unused)
        left = ', '.join(f'{name} ({count})' for name, count in groups.items())
        labels = sorted({key.split('.')[1] for key in self.label_embeds})
        lines = [
            f'from: {self.source}',
            f'filled: {len(self.weights)}/{total} tensors, {numbers / 1e6:.1f} M parameters',
            f'beside the encoder, unused: {left or "nothing"}',
            f'architecture: {self.arch}{heads}',
            f'preprocessing: {self.preprocessing}',
        ]
        if labels:
            lines.append(f'embeddings of labels: {", ".join(labels)} (no part of the plain ViT)')
        if size := self.stated.get('window_size'):
            lines.append(
                f'note: it was trained with attention in windows of {size} patches, a plain ViT '
                'attends globally and computes something else'
            )
        return '\n'.join(lines)


def read_backbone(path: str | Path, which: str | None = None, **stated: Any) -> Backbone:
    """Read the backbone of a checkpoint, whichever house it comes from.

    Known are files of this project and mmpretrain, official MAE, MultiMAE (rgb path), timm, DINO,
    iBOT, MoCo v3, DeiT, BEiT-style ViTs with absolute positions and Hugging Face ViTs, also within
    a larger model.

    Args:
        path: File, folder of a run, or Hugging Face or timm folder.
        which: 'ema' or 'raw' weights, of files with both; see
            :func:`mmc2fmae.checkpoints.wrappers.unwrap`.
        **stated: What the caller knows better than the file: ``num_heads``, ``norm_eps``,
            ``img_size``, ``num_cls_tokens``, ``mean``, ``std``; None is passed over.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointMismatch: It is no checkpoint of a plain ViT; the message lists the keys.
        ValueError: What the caller says is unknown, or cannot be.
    """
    said = check_caller(stated)
    file = read_file(path, which)
    stated = file.stated | said
    complaints = []
    try:
        naming, prefix = find_encoder(list(file.weights))
        weights, unused, strange = to_our_names(file.weights, naming, prefix)
        if strange:
            complaints.append(explain(strange))
        _require_weights(weights)
        arch, weights = describe_weights(weights, stated)
    except CheckpointMismatch as error:
        complaints.append(str(error))
    if complaints:
        raise CheckpointMismatch(f'{file.path} ' + ', and '.join(complaints))
    preprocessing = Preprocessing(arch.img_size, assumed='mean' not in stated)
    if 'mean' in stated:
        preprocessing = replace(preprocessing, mean=tuple(stated['mean']), std=tuple(stated['std']))
    numbers = [len(preprocessing.mean), len(preprocessing.std)]
    if 'mean' in stated and numbers != [arch.in_channels] * 2:
        raise CheckpointMismatch(
            f'{file.path} reads images of {arch.in_channels} channels, but mean and std are of '
            f'{numbers[0]} and {numbers[1]}: give one number a channel'
        )
    labels = f'{prefix}label_embeds.'
    place = f' under {prefix!r}' if prefix else ''
    return Backbone(
        weights=weights,
        arch=arch,
        preprocessing=preprocessing,
        source=f'{file.path}, names of {naming.name}{place}',
        stated=stated,
        label_embeds={
            key.removeprefix(prefix): value
            for key, value in file.weights.items()
            if key.startswith(labels)
        },
        unused=[key for key in unused if not key.startswith(labels)],
    )


def _require_weights(weights: dict[str, Tensor]) -> None:
    """Refuse tensors that are none of a trained encoder.

    Raises:
        CheckpointMismatch: They are numbers of one byte or integers, whose scale lies elsewhere, or
            all of the first layer is zero.
    """
    small = [k for k, v in weights.items() if not v.is_floating_point() or v.element_size() == 1]
    if small:
        raise CheckpointMismatch(
            f'has {len(small)} tensors of {weights[small[0]].dtype}, first '
            f'{first_names(small, 3)}: it is quantised, take the weights from before (float32, '
            'float16 or bfloat16)'
        )
    name = 'patch_embed.projection.weight'
    if name in weights and not weights[name].any():
        raise CheckpointMismatch(f'has zeros alone in {name}: these are no trained weights')


def build_backbone(
    path: str | Path, out_type: str = 'raw', **stated: Any
) -> tuple[VisionTransformer, Preprocessing]:
    """Build the backbone of a checkpoint as a PyTorch module with its weights, for inference.

    Args:
        path: Checkpoint; see :func:`read_backbone`.
        out_type: What the module returns a block: 'raw' (B, P + N, D), class tokens first, or
            'cls_token' (B, D), the mean of several, 'featmap' (B, D, h, w).
        **stated: See :func:`read_backbone`.

    Returns:
        The module in evaluation mode and the preprocessing of its images. The module takes images
        of any size that the patch divides; positions are resampled.

    Raises:
        CheckpointMismatch: The file does not fit, or its number of heads is unknown.
        ValueError: There is no such ``out_type``, or see :func:`read_backbone`.
    """
    if out_type not in OUT_TYPES:
        raise ValueError(f'out_type is {out_type!r}: expected one of {", ".join(OUT_TYPES)}')
    found = read_backbone(path, **stated)
    if found.arch.num_heads is None:
        raise CheckpointMismatch(
            f'{path} does not say its number of heads, and 64 a head does not divide '
            f'{found.arch.embed_dims}: give num_heads (--num-heads)'
        )
    print_log(found.report(), logger='current')
    # mmpretrain's own has one class token; ours, which it registers, any number.
    build = VisionTransformer if found.arch.num_cls_tokens == 1 else MODELS.get('PlainViT')
    vit = build(**found.arch.options())
    vit.load_state_dict(found.weights)
    vit.out_type = out_type  # the options name it by the norms that the ViT has
    vit.eval()  # returns None: mmpretrain's train() does
    return vit, found.preprocessing


def weights_for(found: Backbone, module: nn.Module) -> dict[str, Tensor]:
    """Return a backbone's weights as a module needs them: positions resampled to its grid.

    Args:
        found: A backbone.
        module: The module to fill; one without a class token gets none.

    Raises:
        CheckpointMismatch: The module has another number of class tokens.
    """
    weights = found.weights | found.label_embeds
    grid: Any = getattr(module, 'patch_resolution', None)
    if grid is not None:
        given, own = found.arch.num_cls_tokens, count_tokens(getattr(module, 'cls_token', None))
        if not tokens_fit(given, own):
            raise CheckpointMismatch(
                f'num_cls_tokens {given} in {found.source}, {own} in the model: set '
                f'backbone.num_cls_tokens to {given}'
            )
        positions = resize_pos_embed(
            weights['pos_embed'], found.arch.grid, tuple(grid), num_extra_tokens=given
        )
        if not own:
            weights.pop('cls_token')
            positions = positions[:, given:]
        weights['pos_embed'] = positions
    return weights
