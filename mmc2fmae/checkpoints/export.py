"""A backbone written for others: our own safetensors, timm's, a Hugging Face folder."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save
from torch import Tensor

from mmc2fmae.checkpoints.architecture import Architecture, statement
from mmc2fmae.checkpoints.backbone import Backbone, read_backbone
from mmc2fmae.checkpoints.files import METADATA_KEY
from mmc2fmae.checkpoints.naming import HUGGINGFACE, TIMM, from_our_names
from mmc2fmae.checkpoints.preprocessing import Preprocessing
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.files import write_atomically

TARGETS = ('mmc2fmae', 'timm', 'huggingface', 'onnx')
_TIMM_SIZES: dict[tuple[int, int, int | None], str] = {
    (192, 12, 3): 'tiny',
    (384, 12, 6): 'small',
    (768, 12, 12): 'base',
    (1024, 24, 16): 'large',
    (1280, 32, 16): 'huge',
}


def check_destination(src: str | Path, dst: str | Path, to: str, force: bool = False) -> None:
    """Check, before anything is read, that an export may go where it is to go.

    Args:
        src: Checkpoint that is read.
        dst: File that is written (a folder for Hugging Face).
        to: One of :data:`TARGETS`.
        force: Whether something of that name may be overwritten.

    Raises:
        ValueError: The name does not fit the target, or is the source's.
        FileExistsError: It exists already.
    """
    dst = Path(dst)
    suffix = '.onnx' if to == 'onnx' else '.safetensors'
    if to != 'huggingface' and dst.suffix != suffix:
        raise ValueError(f'{dst}: a file for {to} ends in {suffix}')
    if to == 'huggingface' and (dst.suffix in ('.safetensors', '.pth', '.bin') or dst.is_file()):
        raise ValueError(f'{dst}: a Hugging Face model is a folder, name one')
    if dst.resolve() in (Path(src).resolve(), Path(src).resolve().parent):
        raise ValueError(f'{dst} is where the source {src} lies: choose another place')
    if dst.exists() and not force:
        raise FileExistsError(f'{dst} exists: choose another name, or --force to overwrite it')


def export_backbone(backbone: Backbone, dst: str | Path, to: str) -> None:
    """Write a backbone and read it back to see that it is the same.

    Args:
        backbone: What :func:`read_backbone` returns.
        dst: File that is written (a folder for Hugging Face).
        to: 'mmc2fmae' (safetensors, our names, label embeddings kept), 'timm' (safetensors and a
            JSON beside it) or 'huggingface' (folder for ``transformers.ViTModel``).

    Raises:
        CheckpointMismatch: The other side has no place for a part of the backbone, or its number
            of heads is not known.
    """
    dst, arch = Path(dst), backbone.arch
    if arch.num_heads is None:
        raise CheckpointMismatch(
            f'{backbone.source}: the number of heads is unknown, give num_heads (--num-heads)'
        )
    weights_file = dst
    if to == 'mmc2fmae':
        weights, texts = backbone.weights | backbone.label_embeds, {}
    elif to == 'timm':
        weights = from_our_names(_for_timm(backbone), TIMM)
        texts = {dst.with_suffix('.json'): timm_config(arch, backbone.preprocessing)}
    else:
        weights = from_our_names(_for_huggingface(backbone), HUGGINGFACE)
        weights_file = dst / 'model.safetensors'
        config, processor = huggingface_config(arch, backbone.preprocessing)
        texts = {dst / 'config.json': config, dst / 'preprocessor_config.json': processor}
    weights = {key: value.contiguous().clone() for key, value in weights.items()}
    said = json.dumps(statement(arch, backbone.preprocessing))
    write_atomically(save(weights, {'format': 'pt', METADATA_KEY: said}), weights_file)
    for path, content in texts.items():
        write_atomically(json.dumps(content, indent=2).encode(), path)
    _require_same(backbone, read_backbone(dst), labels=to == 'mmc2fmae')


def timm_call(arch: Architecture) -> tuple[str, dict[str, Any]]:
    """Return name and options with which ``timm.create_model`` builds an architecture.

    Args:
        arch: The backbone.

    Raises:
        CheckpointMismatch: timm has no place for several class tokens, or for both norms after the
            blocks.
    """
    _require_one_class_token(arch, 'timm')
    if arch.final_norm and arch.pooled_norm:
        raise CheckpointMismatch(
            'the file has a final norm (ln1) and a norm of pooled features (ln2), a timm ViT has '
            'one of them: fine-tuned backbones are to be built with final_norm=False'
        )
    size = _TIMM_SIZES.get((arch.embed_dims, arch.num_layers, arch.num_heads))
    name, options = f'vit_{size}_patch{arch.patch_size}_224', dict[str, Any]()
    if not size or not timm.is_model(name):
        name = 'vit_base_patch16_224'
        options = dict(
            patch_size=arch.patch_size,
            embed_dim=arch.embed_dims,
            depth=arch.num_layers,
            num_heads=arch.num_heads,
        )
    if arch.feedforward_channels != 4 * arch.embed_dims:
        options['mlp_ratio'] = arch.feedforward_channels / arch.embed_dims
    if arch.img_size != (224, 224):
        options['img_size'] = list(arch.img_size)
    if arch.in_channels != 3:
        options['in_chans'] = arch.in_channels
    if not arch.qkv_bias:
        options['qkv_bias'] = False
    if arch.pooled_norm:
        options['global_pool'] = 'avg'
    elif not arch.final_norm:
        options['final_norm'] = False
    return name, options


def timm_config(arch: Architecture, preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the JSON that timm's hub puts beside weights."""
    name, options = timm_call(arch)
    return dict(
        architecture=name,
        num_classes=0,
        num_features=arch.embed_dims,
        model_args=options,
        pretrained_cfg=dict(
            num_classes=0,
            input_size=[arch.in_channels, *arch.img_size],
            mean=list(preprocessing.mean),
            std=list(preprocessing.std),
            interpolation='bicubic',
            crop_pct=224 / 256,
            crop_mode='center',
        ),
    )


def huggingface_config(
    arch: Architecture, preprocessing: Preprocessing
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``config.json`` and ``preprocessor_config.json`` of a Hugging Face ViT folder."""
    height, width = arch.img_size
    config = dict(
        architectures=['ViTModel'],
        model_type='vit',
        hidden_size=arch.embed_dims,
        num_hidden_layers=arch.num_layers,
        num_attention_heads=arch.num_heads,
        intermediate_size=arch.feedforward_channels,
        hidden_act='gelu',
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=arch.norm_eps,
        image_size=height if height == width else [height, width],
        patch_size=arch.patch_size,
        num_channels=arch.in_channels,
        qkv_bias=arch.qkv_bias,
    )
    processor = dict(  # the ViT processor cannot crop, this one is what DINOv2 uses
        image_processor_type='BitImageProcessor',
        do_resize=True,
        size=dict(shortest_edge=round(max(arch.img_size) * 256 / 224)),
        resample=3,  # bicubic
        do_center_crop=True,
        crop_size=dict(height=height, width=width),
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=list(preprocessing.mean),
        image_std=list(preprocessing.std),
        do_convert_rgb=True,
    )
    return config, processor


def _for_timm(backbone: Backbone) -> dict[str, Tensor]:
    timm_call(backbone.arch)  # raises where timm has no place for the norms
    return backbone.weights


def _for_huggingface(backbone: Backbone) -> dict[str, Tensor]:
    _require_one_class_token(backbone.arch, 'Hugging Face')
    if not backbone.arch.final_norm or backbone.arch.pooled_norm:
        found = 'a norm of pooled features (ln2)' if backbone.arch.pooled_norm else 'none'
        raise CheckpointMismatch(
            f'{backbone.source}: transformers.ViTModel has a final norm and no other, this '
            f'backbone has {found} (MultiMAE and fine-tuned MAE are like that): export it to timm'
        )
    return backbone.weights


def _require_one_class_token(arch: Architecture, house: str) -> None:
    """Raise for several: timm's registers could hold them, but its output is the first alone."""
    if arch.num_cls_tokens != 1:
        raise CheckpointMismatch(
            f'a ViT of {house} has one class token, this one {arch.num_cls_tokens} and their mean '
            'as output: export it with --to mmc2fmae, it has no other place'
        )


def _require_same(wrote: Backbone, read: Backbone, labels: bool) -> None:
    """Raise where what was written reads differently."""
    pairs = [(wrote.weights, read.weights)]
    if labels:
        pairs.append((wrote.label_embeds, read.label_embeds))
    same = wrote.arch == read.arch and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs
    )
    if not same:
        raise CheckpointMismatch(
            f'{read.source} reads differently from what was written: is the disk sound?'
        )
