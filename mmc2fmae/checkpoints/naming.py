"""Names of a plain ViT's parameters: which house calls them what, and how to translate.

"Our" names are mmpretrain's VisionTransformer's. Everything here is a pure function of state dicts.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from mmc2fmae.errors import CheckpointMismatch, first_names


@dataclass(frozen=True)
class Naming:
    """How a family of checkpoints names the parts of a plain ViT.

    Attributes:
        name: What it is called in messages.
        anchor: A key that every file of the family has and no other family's.
        blocks: What stands before the number of a block (all spellings, ours to write first).
        outer: Module or parameter outside of the blocks -> our name.
        inner: Module or parameter inside of a block -> our name.
        beside: Pattern of keys that lie beside the encoder: decoders, heads, mask tokens.
    """

    name: str
    anchor: str
    blocks: tuple[str, ...]
    outer: dict[str, str]
    inner: dict[str, str]
    beside: str


_TIMM_BLOCK = {
    'norm1': 'ln1',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    'norm2': 'ln2',
    'mlp.fc1': 'ffn.layers.0.0',
    'mlp.fc2': 'ffn.layers.1',
}

# What BEiT adds, whoever writes it (CAE and mmpretrain's BEiT too): layer scale, and no k bias.
_BEIT_BLOCK = {
    'gamma_1': 'attn.gamma',
    'gamma_2': 'ffn.gamma',
    'attn.q_bias': 'attn.q.bias',
    'attn.v_bias': 'attn.v.bias',
}

MMPRETRAIN = Naming(
    name='mmpretrain (C2FMAE runs, mmpretrain)',
    anchor='patch_embed.projection.weight',
    blocks=('layers',),
    outer={
        **{name: name for name in ('cls_token', 'pos_embed', 'patch_embed.projection')},
        'ln1': 'ln1',
        'ln2': 'ln2',
    },
    inner={
        **{name: name for name in _TIMM_BLOCK.values()},
        'attn.q': 'attn.q',  # the public code of SemanticMIM computes q apart from k and v,
        'attn.kv': 'attn.kv',  # and names them otherwise in BEiT than in MaskFeat
        'attn.q_proj': 'attn.q',
        'attn.kv_proj': 'attn.kv',
        'attn.gamma1.weight': 'attn.gamma',
        'ffn.gamma2.weight': 'ffn.gamma',
        **_BEIT_BLOCK,
    },
    beside=r'mask_token|(reconstruction|extra_layers|head|neck|data_preprocessor|label_embeds)\..*',
)

TIMM = Naming(
    name='timm (official MAE, DeiT, DINO, iBOT, MoCo v3, BEiT-style, timm)',
    anchor='patch_embed.proj.weight',
    blocks=('blocks',),
    outer={
        'cls_token': 'cls_token',
        'pos_embed': 'pos_embed',
        'patch_embed.proj': 'patch_embed.projection',
        'norm': 'ln1',
        'fc_norm': 'ln2',
    },
    inner={
        **_TIMM_BLOCK,
        'ls1.gamma': 'attn.gamma',
        'ls2.gamma': 'ffn.gamma',
        **_BEIT_BLOCK,
    },
    beside=r'mask_token|masked_embed|decoder_.*|(head|fc|pre_logits|lm_head)\..*',
)

HUGGINGFACE = Naming(
    name='Hugging Face ViT',
    anchor='embeddings.patch_embeddings.projection.weight',
    blocks=('encoder.layer', 'layers'),  # in files, and in the memory of transformers 5
    outer={
        'embeddings.cls_token': 'cls_token',
        'embeddings.position_embeddings': 'pos_embed',
        'embeddings.patch_embeddings.projection': 'patch_embed.projection',
        'layernorm': 'ln1',
    },
    inner={
        'layernorm_before': 'ln1',
        'attention.attention.query': 'attn.q',
        'attention.attention.key': 'attn.k',
        'attention.attention.value': 'attn.v',
        'attention.output.dense': 'attn.proj',
        'layernorm_after': 'ln2',
        'intermediate.dense': 'ffn.layers.0.0',
        'output.dense': 'ffn.layers.1',
        'attention.q_proj': 'attn.q',
        'attention.k_proj': 'attn.k',
        'attention.v_proj': 'attn.v',
        'attention.o_proj': 'attn.proj',
        'mlp.fc1': 'ffn.layers.0.0',
        'mlp.fc2': 'ffn.layers.1',
    },
    beside=r'embeddings\.mask_token|(pooler|classifier|decoder)\..*',
)

MULTIMAE = Naming(
    name='MultiMAE (rgb path)',
    anchor='input_adapters.rgb.proj.weight',
    blocks=('encoder',),
    outer={
        'global_tokens': 'cls_token',
        'input_adapters.rgb.pos_emb': 'pos_embed',
        'input_adapters.rgb.proj': 'patch_embed.projection',
    },
    inner=_TIMM_BLOCK,
    beside=r'input_adapters\.(?!rgb\.).*|output_adapters\..*',
)

NAMINGS = (MMPRETRAIN, TIMM, HUGGINGFACE, MULTIMAE)

# Where the encoder lies in a file that holds several, best first: MoCo v3 and CAE hold a momentum
# copy beside it, an mmengine file perhaps a teacher.
PREFIXES = ('', 'backbone.', 'encoder.', 'base_encoder.', 'vit.')

_REASONS = (
    (r'relative_position|rel_pos', 'relative positions; a plain ViT has absolute ones'),
    (r'register_tokens|reg_token|dist_token', 'further tokens; a plain ViT has class tokens alone'),
    (r'mlp\.w\d|mlp\.gate|weights_in', 'a gated MLP (SwiGLU); a plain ViT has two linear layers'),
    (r'q_norm|k_norm', 'normalised queries and keys'),
    (r'norm_pre|pre_norm|pre_layernorm', 'a norm before the blocks, as in CLIP'),
)


def find_encoder(keys: list[str]) -> tuple[Naming, str]:
    """Find out how a state dict names a ViT and where in it the ViT lies.

    Args:
        keys: Keys of the state dict.

    Returns:
        The naming and the prefix of the encoder's keys.

    Raises:
        CheckpointMismatch: No ViT is in it, or several that have equal claims.
    """
    found = []
    for naming in NAMINGS:
        for key in keys:
            prefix = key.removesuffix(naming.anchor)
            if prefix != key and (not prefix or prefix.endswith('.')):
                found.append((naming, prefix))
    if not found:
        anchors = ', '.join(naming.anchor for naming in NAMINGS)
        raise CheckpointMismatch(
            f'holds no plain ViT: none of {anchors} is among its {len(keys)} keys '
            f'({", ".join(keys[:6])} ...)'
        )
    if len(found) == 1:
        return found[0]
    for wanted in PREFIXES:
        for naming, prefix in found:
            if prefix.removeprefix('module.') == wanted:
                return naming, prefix
    raise CheckpointMismatch(
        f'holds {len(found)} ViTs, at {", ".join(repr(p) for _, p in found)}: save the one that '
        'you mean alone'
    )


def to_our_names(
    weights: dict[str, Tensor], naming: Naming, prefix: str
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Translate a ViT's weights to our names.

    q, k and v are fused, BEiT's missing k bias becomes zeros and layer scale is multiplied into the
    projections before it, so that the result computes the same as a plain ViT.

    Args:
        weights: State dict of a file.
        naming: How it names the ViT.
        prefix: Where the ViT lies in it.

    Returns:
        The ViT's weights, the keys that lie beside it, and the keys of parts that a plain ViT has
        not (:func:`explain` says why).

    Raises:
        CheckpointMismatch: A part of the attention is missing.
    """
    own, beside, strange = {}, [], []
    for key, value in weights.items():
        short = key.removeprefix(prefix)
        if not key.startswith(prefix):
            beside.append(key)
        elif name := _translate(short, naming):
            own[name] = value
        elif re.fullmatch(naming.beside, short):
            beside.append(key)
        else:
            strange.append(key)
    return fold_layer_scale(fuse_qkv(own)), beside, strange


def explain(strange: list[str]) -> str:
    """List keys of the encoder that do not fit a plain ViT, with the reason where it is known."""
    reasons = [why for what, why in _REASONS if any(re.search(what, key) for key in strange)]
    why = f' ({"; ".join(reasons)})' if reasons else ''
    lines = [f'  does not fit {key}' for key in strange]
    return '\n'.join([f'has {len(strange)} keys that do not fit a plain ViT{why}:', *lines])


def from_our_names(weights: dict[str, Tensor], naming: Naming) -> dict[str, Tensor]:
    """Translate a plain ViT's weights from our names.

    Args:
        weights: Weights under our names.
        naming: :data:`TIMM`, :data:`HUGGINGFACE` or :data:`MMPRETRAIN`.

    Raises:
        CheckpointMismatch: The other side has no name for a weight.
    """
    outer, inner = _inverse(naming.outer), _inverse(naming.inner)
    if 'attn.qkv' not in inner:
        weights = split_qkv(weights)
    theirs, strange = {}, []
    for key, value in weights.items():
        block = re.fullmatch(r'layers\.(\d+)\.(.+)', key)
        name = _look_up(inner, block[2]) if block else _look_up(outer, key)
        if name is None:
            strange.append(key)
        else:
            theirs[f'{naming.blocks[0]}.{block[1]}.{name}' if block else name] = value
    if strange:
        raise CheckpointMismatch(f'{naming.name} has no name for {", ".join(strange)}')
    return theirs


def fuse_qkv(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join separate q, k, v: (D, D) weights to (3D, D), (D,) biases to (3D,), in that order.

    A missing k bias beside q's and v's is zero: it would shift all scores of a query alike, which
    softmax takes out again (BEiT leaves it out for that).
    """
    fused = dict(weights)
    for layer in _layers(weights):
        for leaf in ('weight', 'bias'):
            if (joint := f'{layer}.attn.kv.{leaf}') in fused:
                k, v = fused.pop(joint).chunk(2)
                fused |= {f'{layer}.attn.k.{leaf}': k, f'{layer}.attn.v.{leaf}': v}
            keys = {x: f'{layer}.attn.{x}.{leaf}' for x in 'qkv'}
            parts = {x: fused.pop(key) for x, key in keys.items() if key in fused}
            if leaf == 'bias' and 'k' not in parts and 'q' in parts:
                parts['k'] = torch.zeros_like(parts['q'])
            absent = [key for x, key in keys.items() if x not in parts]
            if not absent:
                fused[f'{layer}.attn.qkv.{leaf}'] = torch.cat([parts[x] for x in 'qkv'])
            elif len(absent) < 3:
                raise CheckpointMismatch(
                    f'lacks a part of the attention: missing {first_names(absent)}'
                )
    return fused


def split_qkv(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`fuse_qkv`."""
    split = {}
    for key, value in weights.items():
        if '.attn.qkv.' in key:
            for name, part in zip('qkv', value.chunk(3), strict=True):
                split[key.replace('.qkv.', f'.{name}.')] = part.clone()
        else:
            split[key] = value
    return split


def fold_layer_scale(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply layer scale, gamma * (W x + b), into W and b: it adds nothing to a trained ViT."""
    folded = dict(weights)
    for layer in _layers(weights):
        for part, linear in (('attn', 'attn.proj'), ('ffn', 'ffn.layers.1')):
            gamma = folded.pop(f'{layer}.{part}.gamma', None)
            for key in (f'{layer}.{linear}.weight', f'{layer}.{linear}.bias'):
                if gamma is not None and key in folded:
                    folded[key] = gamma.view(-1, *[1] * (folded[key].ndim - 1)) * folded[key]
    return folded


def _layers(weights: dict[str, Tensor]) -> list[str]:
    return sorted({'.'.join(key.split('.')[:2]) for key in weights if key.startswith('layers.')})


def _translate(key: str, naming: Naming) -> str | None:
    for blocks in naming.blocks:
        match = re.fullmatch(rf'{re.escape(blocks)}\.(\d+)\.(.+)', key)
        if match:
            name = _look_up(naming.inner, match[2])
            return name and f'layers.{match[1]}.{name}'
    return _look_up(naming.outer, key)


def _look_up(table: dict[str, str], key: str) -> str | None:
    """Return the other name of a parameter, by itself or by the module it belongs to."""
    if key in table:
        return table[key]
    module, _, leaf = key.rpartition('.')
    return f'{table[module]}.{leaf}' if leaf in ('weight', 'bias') and module in table else None


def _inverse(table: dict[str, str]) -> dict[str, str]:
    return {ours: theirs for theirs, ours in reversed(table.items())}
