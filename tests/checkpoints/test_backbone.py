"""Backbones of other houses against reference models that are not ours."""

import pytest
import torch
from mmpretrain.models import BEiTViT
from mmpretrain.models import VisionTransformer as MMPretrainViT
from safetensors.torch import save_file
from timm.models.beit import Beit
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mmc2fmae.checkpoints import build_backbone, read_backbone
from mmc2fmae.errors import CheckpointMismatch
from tests.checkpoints.conftest import SIZES, MultiMAEReference, proxy_vit, randomise, timm_vit


def close(ours, reference):
    torch.testing.assert_close(ours, reference, atol=1e-4, rtol=1e-4)


def saved(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / 'checkpoint.pth')
    return tmp_path / 'checkpoint.pth'


@torch.no_grad()
@pytest.mark.parametrize(
    ('stated', 'message'),
    [
        (dict(nun_heads=4), r"no option 'nun_heads' of a checkpoint, did you mean num_heads\?"),
        (dict(num_heads=0), 'num_heads is 0: expected a whole number above 0'),
        (dict(norm_eps=2.0), r'norm_eps is 2.0: expected a number between 0 and 1'),
        (dict(img_size=32), 'img_size is 32: expected height and width'),
        (dict(mean=[0.5] * 3), 'mean and std belong together'),
        (dict(mean=[127] * 3, std=[50] * 3), r'mean is \[127, 127, 127\]: .*divide'),
        (dict(mean=[-0.1] * 3, std=[0.2] * 3), 'mean is'),
        (dict(mean=[0.5] * 3, std=[0, 0.2, 0.2]), 'std is'),
        (dict(mean=[0.5], std=[0.2]), 'of 3 channels, but mean and std are of 1 and 1'),
        (dict(mean=[0.5] * 3, std=[0.2] * 2), 'of 3 channels, but mean and std are of 3 and 2'),
        (dict(out_type='avg_featmap'), 'out_type is .*: expected one of raw, cls_token, featmap'),
    ],
)
def test_what_a_caller_states_must_be_known_and_possible(tmp_path, stated, message):
    path = saved(timm_vit().state_dict(), tmp_path)
    with pytest.raises(ValueError, match=message):
        build_backbone(path, **stated)


def test_features_of_an_official_mae_file_are_those_of_the_official_encoder(tmp_path, images):
    reference = timm_vit()
    decoder = {
        'mask_token': torch.zeros(1, 1, 64),
        'decoder_pos_embed': torch.zeros(1, 17, 64),
        'decoder_embed.weight': torch.zeros(64, 128),
        'decoder_blocks.0.norm1.weight': torch.zeros(64),
        'decoder_pred.bias': torch.zeros(192),
    }
    path = saved(dict(model=reference.state_dict() | decoder, epoch=1), tmp_path)
    vit, preprocessing = build_backbone(path)
    close(vit(images)[0], reference.forward_features(images))
    assert set(read_backbone(path).unused) == set(decoder)
    assert preprocessing.assumed and preprocessing.mean == (0.485, 0.456, 0.406)


@torch.no_grad()
def test_features_of_a_fine_tuned_mae_file_have_no_final_norm(tmp_path, images):
    reference = timm_vit(global_pool='avg', num_classes=5)
    vit, _ = build_backbone(saved(dict(model=reference.state_dict()), tmp_path))
    close(vit(images)[0], reference.forward_features(images))
    pooled = vit.ln2(vit(images)[0][:, 1:].mean(dim=1))
    close(reference.head(pooled), reference(images))


@torch.no_grad()
def test_features_of_a_multimae_file_are_those_of_its_rgb_path(tmp_path, images):
    reference = randomise(MultiMAEReference())
    path = saved(dict(model=reference.state_dict()), tmp_path)
    vit, _ = build_backbone(path)
    close(vit(images)[0], reference(images))
    found = read_backbone(path)
    assert not found.arch.final_norm
    assert found.unused == [
        'input_adapters.semseg.class_emb.weight',
        'output_adapters.rgb.weight',
        'output_adapters.rgb.bias',
    ]


@pytest.mark.parametrize(
    'wrap',
    [
        lambda w: dict(teacher={f'backbone.{k}': v for k, v in w.items()}, student={}),  # DINO
        lambda w: dict(
            state_dict={f'module.base_encoder.{k}': v for k, v in w.items()}
            | {f'module.momentum_encoder.{k}': v + 1 for k, v in w.items()}
            | {'module.base_encoder.head.0.weight': torch.zeros(1)}
        ),  # MoCo v3
        lambda w: {f'encoder.{k}': v for k, v in w.items()} | {'regressor.x': torch.zeros(1)},
    ],
)
@torch.no_grad()
def test_wrapped_encoders_are_found(wrap, tmp_path, images):
    reference = timm_vit()
    vit, _ = build_backbone(saved(wrap(reference.state_dict()), tmp_path))
    close(vit(images)[0], reference.forward_features(images))


@torch.no_grad()
def test_layer_scale_and_a_class_token_without_position_are_folded_exactly(tmp_path, images):
    reference = timm_vit(init_values=0.5, no_embed_class=True)
    vit, _ = build_backbone(saved(reference.state_dict(), tmp_path))
    close(vit(images)[0], reference.forward_features(images))


BEIT = dict(SIZES, num_classes=0, init_values=0.5, global_pool='token')


@torch.no_grad()
def test_beit_with_absolute_positions_fits(tmp_path, images):
    reference = randomise(Beit(**BEIT, use_abs_pos_emb=True))
    assert 'blocks.0.attn.q_bias' in reference.state_dict()
    vit, _ = build_backbone(saved(dict(model=reference.state_dict()), tmp_path))
    close(vit(images)[0], reference.forward_features(images))


def test_beit_with_relative_positions_does_not_fit(tmp_path):
    weights = Beit(**BEIT, use_abs_pos_emb=False, use_rel_pos_bias=True).state_dict()
    with pytest.raises(CheckpointMismatch, match='relative positions') as error:
        read_backbone(saved(weights, tmp_path))
    assert 'does not fit blocks.1.attn.relative_position_bias_table' in str(error.value)
    weights = {k: v for k, v in weights.items() if 'relative' not in k}
    with pytest.raises(CheckpointMismatch, match='missing pos_embed'):
        read_backbone(saved(weights, tmp_path))


def huggingface_weights(vit: VisionTransformer) -> dict:
    """Write the names of Hugging Face's ViT from timm's by hand."""
    names = {
        'cls_token': 'embeddings.cls_token',
        'pos_embed': 'embeddings.position_embeddings',
        'patch_embed.proj.weight': 'embeddings.patch_embeddings.projection.weight',
        'patch_embed.proj.bias': 'embeddings.patch_embeddings.projection.bias',
        'norm.weight': 'layernorm.weight',
        'norm.bias': 'layernorm.bias',
    }
    weights = {f'vit.{names[k]}': v for k, v in vit.state_dict().items() if k in names}
    for i, block in enumerate(vit.blocks):
        modules = {
            'layernorm_before': block.norm1,
            'attention.output.dense': block.attn.proj,
            'layernorm_after': block.norm2,
            'intermediate.dense': block.mlp.fc1,
            'output.dense': block.mlp.fc2,
        }
        for leaf in ('weight', 'bias'):
            start = f'vit.encoder.layer.{i}'
            for name, module in modules.items():
                weights[f'{start}.{name}.{leaf}'] = getattr(module, leaf)
            thirds = getattr(block.attn.qkv, leaf).chunk(3)
            for name, third in zip(('query', 'key', 'value'), thirds, strict=True):
                weights[f'{start}.attention.attention.{name}.{leaf}'] = third.clone()
    weights['classifier.weight'] = torch.zeros(5, 128)
    return {key: value.detach() for key, value in weights.items()}


@torch.no_grad()
def test_hugging_face_vits_fit_under_old_and_new_names(tmp_path, images):
    reference = timm_vit()
    weights = huggingface_weights(reference)
    save_file(weights, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text('{"num_attention_heads": 2, "layer_norm_eps": 1e-12}')
    vit, _ = build_backbone(tmp_path)
    assert vit.ln1.eps == 1e-12
    close(vit(images)[0], reference.forward_features(images))
    renamed = {}
    for key, value in weights.items():  # as transformers 5 holds them in memory
        for old, new in (
            ('encoder.layer.', 'layers.'),
            ('attention.attention.query', 'attention.q_proj'),
            ('attention.attention.key', 'attention.k_proj'),
            ('attention.attention.value', 'attention.v_proj'),
            ('attention.output.dense', 'attention.o_proj'),
            ('intermediate.dense', 'mlp.fc1'),
            ('output.dense', 'mlp.fc2'),
        ):
            key = key.replace(old, new)
        renamed[key] = value
    vit, _ = build_backbone(saved(renamed, tmp_path))
    close(vit(images)[0], reference.forward_features(images))


@torch.no_grad()
def test_images_of_another_size_get_resampled_positions(tmp_path, images):
    vit, _ = build_backbone(saved(timm_vit().state_dict(), tmp_path))
    bigger = nn.functional.interpolate(images, (48, 64))
    assert vit(bigger)[0].shape == (2, 1 + 6 * 8, 128)


def test_a_grid_that_is_not_square_must_be_stated(tmp_path):
    path = saved(timm_vit(img_size=(32, 40)).state_dict(), tmp_path)
    with pytest.raises(CheckpointMismatch, match='21 positions: expected a square grid'):
        read_backbone(path)
    assert read_backbone(path, img_size=[32, 40]).arch.grid == (4, 5)
    vit, preprocessing = build_backbone(path, img_size=[32, 40])
    assert vit.patch_resolution == (4, 5)
    assert preprocessing.size == (32, 40)
    with pytest.raises(CheckpointMismatch, match='21 positions, but a grid of 4x4'):
        read_backbone(path, img_size=[32, 32])


def test_heads_are_stated_or_64_a_head_or_asked_for(tmp_path):
    path = saved(timm_vit().state_dict(), tmp_path)
    assert read_backbone(path).arch.num_heads == 2
    assert 'heads are assumed' in read_backbone(path).report()
    assert read_backbone(path, num_heads=4).arch.num_heads == 4
    assert 'heads are assumed' not in read_backbone(path, num_heads=4).report()
    with pytest.raises(CheckpointMismatch, match='128 wide, which 3 heads do not divide'):
        read_backbone(path, num_heads=3)
    narrow = saved(timm_vit(embed_dim=24).state_dict(), tmp_path)
    assert read_backbone(narrow).arch.num_heads is None
    with pytest.raises(CheckpointMismatch, match='give num_heads'):
        build_backbone(narrow)


@pytest.mark.parametrize('key', ['cls_token', 'blocks.1.mlp.fc1.bias', 'norm.bias'])
def test_a_missing_weight_is_an_error_that_names_file_and_key(key, tmp_path):
    weights = timm_vit().state_dict()
    del weights[key]
    ours = {'cls_token': 'cls_token', 'norm.bias': 'ln1.bias'}.get(key, 'layers.1.ffn.layers.0.0')
    with pytest.raises(CheckpointMismatch, match=rf'checkpoint\.pth(?s:.*)missing {ours}'):
        read_backbone(saved(weights, tmp_path))


def test_a_misshapen_weight_is_an_error_with_both_shapes(tmp_path):
    weights = timm_vit().state_dict()
    weights['blocks.1.attn.proj.weight'] = torch.zeros(128, 64)
    with pytest.raises(CheckpointMismatch, match=r'proj\.weight: \(128, 64\) in the file, \('):
        read_backbone(saved(weights, tmp_path))


@torch.no_grad()
def test_two_global_tokens_are_two_class_tokens_without_positions(tmp_path, images):
    reference = MultiMAEReference()
    reference.global_tokens = nn.Parameter(torch.zeros(1, 2, 128))
    randomise(reference)
    vit, _ = build_backbone(saved(dict(model=reference.state_dict()), tmp_path))
    close(vit(images)[0], reference(images).roll(1, dims=1))


def proxy_file(vit, tmp_path):
    """Save a backbone as the public SemanticMIM code does, with what lies beside it."""
    weights = {f'backbone.{key}': value for key, value in vit.state_dict().items()}
    beside = dict.fromkeys(
        ['backbone.mask_token', 'backbone.extra_layers.0.ln1.weight', 'neck.decoder_pred.bias',
         'head.layer.bias', 'target_generator.gaussian_kernel'],
        torch.zeros(1),
    )  # fmt: skip
    return saved(dict(state_dict=weights | beside), tmp_path), list(beside)


@torch.no_grad()
def test_proxies_of_semanticmim_are_read_with_their_positions(tmp_path, images):
    reference = proxy_vit(3)
    path, beside = proxy_file(reference, tmp_path)
    found = read_backbone(path)
    assert (found.arch.num_cls_tokens, found.arch.grid) == (3, (4, 4))  # 19 positions
    assert found.arch.shapes()['pos_embed'] == (1, 19, 128)
    assert sorted(found.unused) == sorted(beside)
    assert '3 class tokens' in found.report()
    vit, _ = build_backbone(path)
    (tokens,) = reference(images)
    assert torch.equal(vit(images)[0], tokens)
    vit.out_type = 'cls_token'
    assert torch.allclose(vit(images)[0], tokens[:, :3].mean(dim=1))


@torch.no_grad()
def test_the_beit_variant_of_semanticmim_computes_what_mmpretrains_beit_does(tmp_path, images):
    arch = dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=256)
    reference = randomise_beit(
        BEiTViT(
            arch=arch,
            img_size=32,
            patch_size=8,
            out_type='raw',
            use_abs_pos_emb=True,
            use_rel_pos_bias=False,
            layer_scale_init_value=0.1,
        )
    )
    assert {'layers.1.gamma_2', 'layers.1.attn.q_bias'} <= reference.state_dict().keys()
    vit, _ = build_backbone(proxy_file(reference, tmp_path)[0])
    close(vit(images)[0], reference(images)[0])


def randomise_beit(vit):
    randomise(vit)
    vit.eval()  # mmpretrain's returns None
    return vit


@pytest.mark.parametrize(
    ('stated', 'message'),
    [
        (dict(num_cls_tokens=2), 'says that it has 2 class tokens, but holds 3'),
        (dict(img_size=[40, 32]), 'has 19 positions, but a grid of 5x4 patches and the 3 class'),
    ],
)
def test_a_file_that_contradicts_its_proxies_is_refused(tmp_path, stated, message):
    path, _ = proxy_file(proxy_vit(3), tmp_path)
    with pytest.raises(CheckpointMismatch, match=message):
        read_backbone(path, **stated)


def test_positions_that_no_square_and_proxies_explain_are_refused(tmp_path):
    weights = proxy_vit(3).state_dict()
    weights['cls_token'] = weights['cls_token'][:, :2]  # 19 - 2 = 17 patches
    message = 'has 19 positions: expected a square grid with or without the 2 class tokens'
    with pytest.raises(CheckpointMismatch, match=message):
        read_backbone(saved(weights, tmp_path))


@torch.no_grad()
def test_a_grid_that_is_not_square_keeps_its_proxies(tmp_path):
    reference = proxy_vit(3, img_size=(32, 40))
    path = saved(reference.state_dict(), tmp_path)
    vit, _ = build_backbone(path, img_size=[32, 40])
    images = torch.rand(1, 3, 32, 40)
    assert torch.equal(vit(images)[0], reference(images)[0])


def test_the_report_says_what_was_filled_and_left(tmp_path):
    weights = timm_vit().state_dict() | {'head.weight': torch.zeros(1), 'mask_token': torch.ones(1)}
    report = read_backbone(saved(weights, tmp_path)).report()
    assert 'filled: 30/30 tensors, 0.4 M parameters' in report
    assert 'unused: head (1), mask_token (1)' in report
    assert "ImageNet's: the file does not say" in report


def test_what_a_run_of_ours_knows_more_is_kept_and_said(tmp_path):
    run = read_backbone(saved(timm_vit().state_dict(), tmp_path)).weights
    run = {f'backbone.{key}': value for key, value in run.items()}
    run |= {'backbone.label_embeds.semantic.classes.weight': torch.zeros(3, 4)}
    run |= {'neck.mask_token': torch.zeros(1), 'head.weight': torch.zeros(1)}
    stated = dict(num_heads=4, mean=[0.1] * 3, std=[0.2] * 3, img_size=[32, 32], window_size=2)
    found = read_backbone(saved(dict(state_dict=run, meta=dict(backbone=stated)), tmp_path))
    assert list(found.label_embeds) == ['label_embeds.semantic.classes.weight']
    assert found.unused == ['neck.mask_token', 'head.weight']
    assert found.arch.num_heads == 4 and found.preprocessing.std == (0.2,) * 3
    report = found.report()
    assert 'embeddings of labels: semantic' in report
    assert 'windows of 2 patches' in report
    assert 'assumed' not in report and 'does not say' not in report


def test_mmpretrains_own_layer_scale_is_folded(tmp_path, images):
    options = dict(arch=dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=512))
    options |= dict(img_size=32, patch_size=8, out_type='raw')
    reference = MMPretrainViT(**options, layer_scale_init_value=0.5)
    randomise(reference)
    vit, _ = build_backbone(saved(dict(state_dict=reference.state_dict()), tmp_path))
    with torch.no_grad():
        close(vit(images)[0], reference(images)[0])
