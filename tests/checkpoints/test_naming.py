import pytest
import torch

from mmc2fmae.checkpoints.naming import (
    HUGGINGFACE,
    MMPRETRAIN,
    MULTIMAE,
    TIMM,
    explain,
    find_encoder,
    fold_layer_scale,
    from_our_names,
    fuse_qkv,
    to_our_names,
)
from mmc2fmae.errors import CheckpointMismatch


@pytest.mark.parametrize(
    ('key', 'naming', 'prefix'),
    [
        ('patch_embed.projection.weight', MMPRETRAIN, ''),
        ('backbone.patch_embed.projection.weight', MMPRETRAIN, 'backbone.'),
        ('patch_embed.proj.weight', TIMM, ''),
        ('module.backbone.patch_embed.proj.weight', TIMM, 'module.backbone.'),
        ('vit.embeddings.patch_embeddings.projection.weight', HUGGINGFACE, 'vit.'),
        ('input_adapters.rgb.proj.weight', MULTIMAE, ''),
    ],
)
def test_house_and_place_are_read_off_the_keys(key, naming, prefix):
    assert find_encoder(['epoch', key]) == (naming, prefix)


def test_of_two_encoders_the_trained_one_is_taken():
    ends = 'patch_embed.proj.weight'
    moco = [f'module.momentum_encoder.{ends}', f'module.base_encoder.{ends}']
    assert find_encoder(moco)[1] == 'module.base_encoder.'
    assert find_encoder([f'teacher.{ends}', f'encoder.{ends}'])[1] == 'encoder.'  # CAE
    with pytest.raises(CheckpointMismatch, match=r"2 ViTs, at 'a\.', 'b\.'"):
        find_encoder([f'a.{ends}', f'b.{ends}'])


def test_a_file_without_vit_names_what_it_holds():
    with pytest.raises(CheckpointMismatch, match=r'no plain ViT.*conv1\.weight'):
        find_encoder(['conv1.weight', 'bn1.weight'])


@pytest.mark.parametrize(
    ('key', 'reason'),
    [
        ('blocks.0.attn.relative_position_bias_table', 'relative positions'),
        ('rel_pos_bias.relative_position_bias_table', 'relative positions'),
        ('register_tokens', 'class tokens alone'),
        ('blocks.1.mlp.w12.weight', 'SwiGLU'),
        ('blocks.0.attn.q_norm.weight', 'normalised queries'),
        ('norm_pre.weight', 'CLIP'),
        ('blocks.0.norm1.gamma', 'do not fit'),
    ],
)
def test_parts_that_a_plain_vit_lacks_are_listed_with_the_reason(key, reason):
    weights = {'patch_embed.proj.weight': torch.zeros(1), key: torch.zeros(1)}
    _, _, strange = to_our_names(weights, TIMM, '')
    assert strange == [key]
    assert reason in explain(strange)
    assert f'does not fit {key}' in explain(strange)


def test_heads_and_decoders_lie_beside():
    beside = ['head.weight', 'mask_token', 'decoder_blocks.0.norm1.weight', 'decoder_pos_embed']
    weights = {key: torch.zeros(1) for key in ('cls_token', *beside)}
    own, found, strange = to_our_names(weights, TIMM, '')
    assert list(own) == ['cls_token']
    assert found == beside and not strange


def test_other_modalities_of_multimae_lie_beside_but_nothing_of_rgb():
    keys = ['input_adapters.depth.proj.weight', 'input_adapters.rgb.task_emb']
    _, beside, strange = to_our_names(dict.fromkeys(keys, torch.zeros(1)), MULTIMAE, '')
    assert (beside, strange) == (keys[:1], keys[1:])


def test_q_k_v_are_joined_in_this_order_and_a_missing_k_bias_is_zero():
    weights = {f'layers.0.attn.{x}.weight': torch.full((2, 2), i) for i, x in enumerate('vqk')}
    weights |= {'layers.0.attn.q.bias': torch.ones(2), 'layers.0.attn.v.bias': torch.full((2,), 5)}
    fused = fuse_qkv(weights)
    assert fused['layers.0.attn.qkv.weight'][:, 0].tolist() == [1, 1, 2, 2, 0, 0]
    assert fused['layers.0.attn.qkv.bias'].tolist() == [1, 1, 0, 0, 5, 5]
    del weights['layers.0.attn.k.weight']
    with pytest.raises(CheckpointMismatch, match=r'missing layers\.0\.attn\.k\.weight'):
        fuse_qkv(weights)


def test_layer_scale_scales_the_rows_of_the_projection_and_its_bias():
    folded = fold_layer_scale(
        {
            'layers.0.ffn.gamma': torch.tensor([2.0, 3.0]),
            'layers.0.ffn.layers.1.weight': torch.tensor([[1.0, 10.0, 100.0]] * 2),
            'layers.0.ffn.layers.1.bias': torch.tensor([1.0, 1.0]),
        }
    )
    assert folded['layers.0.ffn.layers.1.weight'].tolist() == [[2, 20, 200], [3, 30, 300]]
    assert folded['layers.0.ffn.layers.1.bias'].tolist() == [2, 3]
    assert 'layers.0.ffn.gamma' not in folded


def test_hugging_face_names_are_written_as_published():
    weights = {
        'layers.3.attn.qkv.weight': torch.arange(12.0).view(6, 2),
        'layers.3.ffn.layers.0.0.bias': torch.zeros(1),
        'ln1.weight': torch.zeros(1),
    }
    theirs = from_our_names(weights, HUGGINGFACE)
    assert set(theirs) == {
        'encoder.layer.3.attention.attention.query.weight',
        'encoder.layer.3.attention.attention.key.weight',
        'encoder.layer.3.attention.attention.value.weight',
        'encoder.layer.3.intermediate.dense.bias',
        'layernorm.weight',
    }
    key = theirs['encoder.layer.3.attention.attention.key.weight']
    assert key.tolist() == [[4, 5], [6, 7]]


def test_a_weight_without_name_on_the_other_side_is_an_error():
    with pytest.raises(CheckpointMismatch, match=r'no name for ln2\.weight'):
        from_our_names({'ln2.weight': torch.zeros(1)}, HUGGINGFACE)


def test_keys_and_values_that_one_layer_computes_are_taken_apart():
    q, k, v = (torch.full((2, 2), float(i)) for i in range(3))
    weights = {'layers.0.attn.q.weight': q, 'layers.0.attn.kv.weight': torch.cat([k, v])}
    fused = fuse_qkv(weights)
    assert list(fused) == ['layers.0.attn.qkv.weight']
    assert torch.equal(fused['layers.0.attn.qkv.weight'], torch.cat([q, k, v]))


@pytest.mark.parametrize('suffix', ['', '_proj'], ids=['maskfeat', 'beit'])
def test_both_spellings_of_the_public_semanticmim_are_read(suffix):
    q, k, v = (torch.full((2, 2), float(i)) for i in range(3))
    weights = {
        f'backbone.layers.0.attn.q{suffix}.weight': q,
        f'backbone.layers.0.attn.kv{suffix}.weight': torch.cat([k, v]),
        'backbone.layers.0.attn.q_bias': q[0],
        'backbone.layers.0.attn.v_bias': v[0],
    }
    own, beside, strange = to_our_names(weights, MMPRETRAIN, 'backbone.')
    assert not beside and not strange
    assert torch.equal(own['layers.0.attn.qkv.weight'], torch.cat([q, k, v]))
    assert own['layers.0.attn.qkv.bias'].tolist() == [0, 0, 0, 0, 2, 2]
