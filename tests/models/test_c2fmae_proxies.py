"""C2FMAE through proxies: what the cascade reads, and what is left of it downstream."""

import pytest
import torch

from mmc2fmae.checkpoints import load_backbone
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.models import PlainViT
from mmc2fmae.models.decoders import CascadedDecoder, ParallelDecoder
from tests.models.conftest import make_batch
from tests.models.test_semanticmim import cut_class_tokens

DECODER = dict(num_patches=4, in_dims=8, dims=16, num_heads=2, depth=1)


@pytest.fixture
def c2fmae(config, build):
    """Return a function that builds a C2FMAE with so many class tokens."""

    def make(number, proxies=True):
        config['backbone']['num_cls_tokens'] = number
        config['neck']['proxies'] = proxies
        return build(config)

    return make


def gradient(model, cut):
    """Gradient of the whole loss with respect to the (3, 8, 24) visible tokens."""
    data = model.data_preprocessor(make_batch())
    inputs, layout = data['inputs'], data['data_samples']
    tokens = model.backbone.embed(inputs, layout).detach().requires_grad_()
    if cut:
        cut_class_tokens(model.backbone)
    features = model.autoencode(tokens, layout.visible)
    sum(model.head.loss(features, inputs, layout).values()).backward()
    return tokens.grad


@pytest.mark.parametrize('number', [1, 3])
def test_the_losses_reach_visible_patches_through_proxies_alone(c2fmae, number):
    model = c2fmae(number)
    assert gradient(model, cut=False).abs().sum(2).min() > 0  # every visible patch counts
    reached = gradient(model, cut=True)
    assert reached is None or reached.abs().max() == 0


@pytest.mark.parametrize('number', [1, 3])
def test_the_ordinary_cascade_sees_visible_patches_whatever_the_class_tokens(c2fmae, number):
    model = c2fmae(number, proxies=False)
    assert gradient(model, cut=True).abs().sum(2).min() > 0


@pytest.mark.parametrize('kind', [CascadedDecoder, ParallelDecoder])
def test_each_stage_attends_to_proxies_and_to_mask_tokens(kind):
    torch.manual_seed(0)
    neck = kind(proxies=True, **DECODER)
    neck.init_weights()
    encoded, class_tokens = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    got = neck(encoded, torch.arange(5).expand(2, -1), class_tokens)
    part = [neck.mask_token[0] + neck.pos_embed + neck.granularity_embed[i] for i in range(3)]
    rgb, instance, semantic = (p.expand(2, -1, -1) for p in part)
    proxies = class_tokens @ neck.projection.weight.T + neck.projection.bias

    def stage(name, query, *context):
        return neck.stages[name](query, torch.cat([proxies, *context], dim=1))

    cascade = kind is CascadedDecoder
    first = stage('semantic', semantic, rgb, instance, semantic)
    second = stage('instance', instance, rgb, instance, semantic + cascade * first)
    third = stage('rgb', rgb, rgb, instance + cascade * second, semantic)
    for name, expected in dict(semantic=first, instance=second, rgb=third).items():
        torch.testing.assert_close(got[name], expected)


def test_the_switch_adds_no_weights_and_draws_no_numbers(c2fmae):
    plain, proxies = c2fmae(3, proxies=False).state_dict(), c2fmae(3).state_dict()
    assert plain.keys() == proxies.keys()
    assert all(torch.equal(plain[key], proxies[key]) for key in plain)


def test_the_checkpoint_fills_a_plain_vit_with_as_many_class_tokens_and_no_other(c2fmae, tmp_path):
    model = c2fmae(3).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    plain = PlainViT(arch=arch, img_size=32, patch_size=8, num_cls_tokens=3)
    load_backbone(plain, tmp_path / 'epoch_1.pth')
    plain.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain(images)[0], model.extract_feat(images)[0])
    with pytest.raises(CheckpointMismatch, match=r'num_cls_tokens 3 in .*, 1 in the model'):
        load_backbone(PlainViT(arch=arch, img_size=32, patch_size=8), tmp_path / 'epoch_1.pth')


def test_proxies_that_nobody_would_read_are_refused(config, build):
    with pytest.raises(ValueError, match=r'proxies=True, cross_attention=False: .* leave one'):
        CascadedDecoder(proxies=True, cross_attention=False, **DECODER)
    config['backbone']['num_cls_tokens'] = 0
    with pytest.raises(ValueError, match=r'num_cls_tokens=0, .*expected at least 1 class token'):
        build(config)


@pytest.mark.parametrize('proxies', [True, False])
def test_compiled_model_computes_the_same(c2fmae, config, build, proxies):
    expected = c2fmae(3, proxies).eval()
    compiled = build(config | dict(compile=dict(backend='eager', fullgraph=True))).eval()
    losses = [
        model(**model.data_preprocessor(make_batch()), mode='loss')
        for model in (expected, compiled)
    ]
    assert all(torch.allclose(losses[0][name], losses[1][name]) for name in losses[0])
