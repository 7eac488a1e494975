import pytest
import timm
import torch
from mmpretrain.models import VisionTransformer

from mmc2fmae.models import MultiGranularViT, TokenLayout
from tests.models.conftest import make_batch


def rename(key):
    """Name of a timm ViT's tensor in mmpretrain's VisionTransformer."""
    for old, new in (
        ('patch_embed.proj', 'patch_embed.projection'),
        ('blocks.', 'layers.'),
        ('norm1', 'ln1'),
        ('norm2', 'ln2'),
        ('mlp.fc1', 'ffn.layers.0.0'),
        ('mlp.fc2', 'ffn.layers.1'),
    ):
        key = key.replace(old, new)
    return 'ln1' + key.removeprefix('norm') if key.startswith('norm.') else key


def test_rgb_path_equals_timms_vit_with_the_same_weights():
    torch.manual_seed(0)
    reference = timm.create_model('vit_base_patch16_224', num_classes=0, global_pool='').eval()
    backbone = MultiGranularViT(granularities=dict(semantic=dict(num_classes=133)), out_type='raw')
    weights = {rename(key): value for key, value in reference.state_dict().items()}
    assert backbone.load_state_dict(weights, strict=False).unexpected_keys == []
    backbone.eval()
    images = torch.randn(2, 3, 224, 224)
    everything = {'rgb': torch.zeros(2, 196, dtype=torch.bool)}
    everything['semantic'] = torch.ones(2, 196, dtype=torch.bool)
    layout = TokenLayout.from_masks(everything)
    with torch.no_grad():
        expected = reference.forward_features(images)
        plain = backbone(images)[0]
        inputs = dict(rgb=images, semantic=torch.zeros(2, 56, 56, dtype=torch.uint8))
        tokens = backbone.embed(inputs, layout)  # all rgb patches visible: the same ViT again
        multi = backbone.encode(tokens)
    torch.testing.assert_close(plain, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(multi, expected, atol=1e-4, rtol=0)


def test_backbone_of_a_checkpoint_loads_into_an_ordinary_vit(config, build):
    model = build(config)
    spec = {k: v for k, v in config['backbone'].items() if k not in ('type', 'granularities')}
    plain = VisionTransformer(**spec)
    weights = {
        key.removeprefix('backbone.'): value
        for key, value in model.state_dict().items()
        if key.startswith('backbone.')
    }
    result = plain.load_state_dict(weights, strict=False)
    assert result.missing_keys == []
    assert all(key.startswith('label_embeds.') for key in result.unexpected_keys)


def test_only_visible_patches_reach_the_encoder(config, build):
    model = build(config).eval()
    batch = make_batch()
    prepared = model.data_preprocessor(batch)
    inputs, layout = prepared['inputs'], prepared['data_samples']
    before = model.backbone.encode(model.backbone.embed(inputs, layout))
    for name, side in (('rgb', 8), ('instance', 4), ('semantic', 4)):
        hidden = batch['masks'][name].view(3, 4, 4)
        hidden = hidden.repeat_interleave(side, 1).repeat_interleave(side, 2)
        if name == 'rgb':
            inputs['rgb'] = inputs['rgb'].masked_fill(hidden[:, None], 99.0)
        else:
            inputs[name] = inputs[name].masked_fill(hidden, 0)
    after = model.backbone.encode(model.backbone.embed(inputs, layout))
    assert torch.equal(before, after)
    assert before.shape == (3, 1 + 8, 24)


def test_a_token_depends_on_its_granularity_and_position(config, build):
    backbone = build(config).backbone
    batch = make_batch(batch=1)
    inputs = {k: torch.zeros_like(v) for k, v in batch['inputs'].items()} | dict(
        rgb=torch.zeros(1, 3, 32, 32)
    )
    masks = {name: torch.ones(1, 16, dtype=torch.bool) for name in inputs}
    masks['instance'][0, 3] = masks['semantic'][0, 3] = masks['semantic'][0, 5] = False
    tokens = backbone.embed(inputs, TokenLayout.from_masks(masks))[0]
    position = backbone.pos_embed[0, 1:]
    content = tokens - position[[3, 3, 5]]
    torch.testing.assert_close(content[1], content[2])
    assert not torch.allclose(content[0], content[1])


def test_initialisation_is_maes(config, build):
    backbone = build(config).backbone
    assert not backbone.pos_embed.requires_grad
    assert backbone.pos_embed[0, 0].abs().max() == 0
    assert not torch.equal(backbone.pos_embed[0, 1], backbone.pos_embed[0, 2])
    for name, parameter in backbone.named_parameters():
        if name.endswith('bias'):
            assert parameter.abs().max() == 0, name
    weight = backbone.layers[0].attn.qkv.weight.detach()
    bound = (6 / (24 + 72)) ** 0.5
    assert weight.abs().max() <= bound and weight.std().item() == pytest.approx(
        bound / 3**0.5, rel=0.1
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(img_size=36), 'image size 36 is no multiple of the patch size 8'),
        (
            dict(granularities=dict(semantic=dict(num_classes=9, stride=3))),
            "'semantic' has stride 3, which does not divide the patch size 8",
        ),
        (
            dict(granularities=dict(semantic=dict(num_classes=256))),
            'semantic has 256 classes: expected 2 to 255',
        ),
    ],
)
def test_impossible_sizes_are_refused(config, build, change, message):
    config['backbone'].update(change)
    with pytest.raises(ValueError, match=message):
        build(config)


def test_maps_of_another_size_are_refused(config, build):
    model = build(config)
    with pytest.raises(ValueError, match=r'rgb maps are \(64, 64\), the model expects \(32, 32\)'):
        model(**model.data_preprocessor(make_batch(size=64, patch=16)), mode='loss')
