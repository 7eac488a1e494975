"""SemanticMIM: which tokens see which, both phases against plain operations, and its targets."""

from itertools import product

import pytest
import torch
from mmpretrain.models.losses import PixelReconstructionLoss
from mmpretrain.models.selfsup.cae import DALLEEncoder
from mmpretrain.models.selfsup.maskfeat import HOGGenerator
from torch.nn import functional as F

from mmc2fmae.checkpoints import load_backbone
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.models import DiscreteTokenTarget, HOGTarget, PlainViT, ProxyViT
from tests.models.conftest import make_batch

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
SIZES = dict(arch=ARCH, img_size=32, patch_size=8)
BEIT = dict(layer_cfgs=dict(layer_scale_init_value=0.1), drop_path_rate=0.1, depth_scaled_init=True)
HOG = dict(type='HOGTarget', pool=4, gaussian_window=8)


@pytest.fixture
def semanticmim(build):
    """Return a function that builds a SemanticMIM of 16 patches, none of its weights 0 or 1."""

    def make(proxies, target=HOG, **options):
        backbone = dict(type='ProxyViT', proxies=proxies, **SIZES, **options)
        model = build(dict(type='SemanticMIM', backbone=backbone, target_generator=target))
        with torch.no_grad():
            for parameter in model.backbone.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        return model.eval()

    return make


def tokens_of(model):
    """Visible (3, 6, 24) and masked (3, 10, 24) tokens of a batch, as leaves of the graph."""
    data = model.data_preprocessor(make_batch(names=('rgb',), visible=6))
    visible, masked = model.backbone.embed(data['inputs']['rgb'], data['data_samples'])
    return visible.detach().requires_grad_(), masked.detach().requires_grad_()


def cut_class_tokens(vit):
    """Detach the class tokens after every ordinary block."""
    number = vit.num_extra_tokens

    def cut(layer, inputs, x):
        return torch.cat([x[:, :number].detach(), x[:, number:]], dim=1)

    for layer in vit.layers:
        layer.register_forward_hook(cut)


@pytest.mark.parametrize('options', [{}, BEIT], ids=['maskfeat', 'beit'])
@pytest.mark.parametrize('proxies', [1, 3])
def test_masked_patches_learn_of_visible_ones_through_proxies_alone(semanticmim, proxies, options):
    model = semanticmim(proxies, **options)
    visible, masked = tokens_of(model)
    model.predict(visible, masked)[:, 4].square().sum().backward()
    assert visible.grad.abs().sum(2).min() > 0  # every visible patch counts
    visible.grad = None
    cut_class_tokens(model.backbone)
    model.predict(visible, masked)[:, 4].square().sum().backward()
    assert visible.grad.abs().max() == 0


def test_masked_patches_of_the_baseline_see_visible_ones_directly(semanticmim):
    model = semanticmim(0)
    visible, masked = tokens_of(model)
    cut_class_tokens(model.backbone)
    model.predict(visible, masked)[:, 4].square().sum().backward()
    assert visible.grad.abs().sum(2).min() > 0


@pytest.mark.parametrize(('proxies', 'blind'), [(3, True), (0, False)])
def test_mask_tokens_never_change_proxies_or_patches(semanticmim, proxies, blind):
    vit = semanticmim(proxies).backbone
    visible, masked = tokens_of(semanticmim(proxies))
    seen = []
    for layer in vit.layers:
        layer.register_forward_hook(
            lambda _, inputs, x: seen.append(x[:, : vit.num_extra_tokens + 6])
        )
    vit.predict(visible, masked)
    vit.predict(visible, masked + 1)
    assert len(seen) == 6
    pairs = list(zip(seen[:3], seen[3:], strict=True))
    assert all(torch.equal(*pair) for pair in pairs) == blind


def test_masked_patches_see_each_other(semanticmim):
    model = semanticmim(2)
    visible, masked = tokens_of(model)
    model.predict(visible, masked)[:, 4].square().sum().backward()
    assert masked.grad.abs().sum(2).min() > 0


def attend(layer, queries, context):
    """A transformer block in plain operations: ``queries`` (B, Q, 24) look at ``context``."""
    weights = layer.state_dict()

    def linear(x, name):
        return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']

    def norm(x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
        return x * weights[f'{name}.weight'] + weights[f'{name}.bias']

    q = linear(norm(queries, 'ln1'), 'attn.qkv')[..., :24]
    k, v = linear(norm(context, 'ln1'), 'attn.qkv')[..., 24:].chunk(2, dim=-1)
    heads = []
    for part in (slice(0, 12), slice(12, 24)):
        scores = q[..., part] @ k[..., part].transpose(1, 2) / 12**0.5
        heads.append(scores.softmax(-1) @ v[..., part])
    x = queries + weights.get('attn.gamma1.weight', 1) * linear(torch.cat(heads, -1), 'attn.proj')
    hidden = F.gelu(linear(norm(x, 'ln2'), 'ffn.layers.0.0'))
    return x + weights.get('ffn.gamma2.weight', 1) * linear(hidden, 'ffn.layers.1')


@pytest.mark.parametrize('options', [{}, BEIT], ids=['maskfeat', 'beit'])
@pytest.mark.parametrize('proxies', [0, 1, 3])
def test_features_equal_both_phases_in_plain_operations(semanticmim, proxies, options):
    model = semanticmim(proxies, **options)
    vit, number = model.backbone, max(proxies, 1)
    data = model.data_preprocessor(make_batch(names=('rgb',), visible=6))
    image, layout = data['inputs']['rgb'], data['data_samples']
    patches = F.unfold(image, 8, stride=8).transpose(1, 2)  # (B, 16, 3 * 64)
    projection = vit.patch_embed.projection
    embedded = patches @ projection.weight.flatten(1).T + projection.bias
    chosen = torch.zeros(3, 16, dtype=torch.bool).scatter(1, layout.visible, True)
    visible = (embedded + vit.pos_embed[:, number:])[chosen].view(3, 6, 24)
    masked = (vit.mask_token + vit.pos_embed[:, number:]).expand(3, -1, -1)[~chosen].view(3, 10, 24)
    first = (vit.cls_token + vit.pos_embed[:, :number]).expand(3, -1, -1)
    if proxies:
        x = torch.cat([first, visible], 1)
        for compress, reconstruct in zip(vit.layers, vit.reconstruction, strict=True):
            x = attend(compress, x, x)
            masked = attend(reconstruct, masked, torch.cat([x[:, :proxies], masked], 1))
    else:
        x = torch.cat([first, visible, masked], 1)
        for layer in vit.layers:
            x = attend(layer, x, x)
        masked = x[:, 7:]
    expected = F.layer_norm(masked, (24,), vit.ln1.weight, vit.ln1.bias, 1e-6)
    assert torch.allclose(vit.predict(*vit.embed(image, layout)), expected, atol=1e-5)


def test_stacks_share_no_weights_and_start_apart():
    vit = ProxyViT(proxies=2, **SIZES)
    vit.init_weights()
    name = 'attn.qkv.weight'
    first, second = (stack[0].get_parameter(name) for stack in (vit.layers, vit.reconstruction))
    assert not torch.equal(first, second)
    assert vit.pos_embed.requires_grad and vit.pos_embed.shape == (1, 18, 24)


def test_beit_starts_with_what_deeper_blocks_write_smaller_in_both_stacks():
    vit = ProxyViT(proxies=1, **(SIZES | dict(arch=ARCH | dict(embed_dims=96))), **BEIT)
    vit.init_weights()
    for stack in (vit.layers, vit.reconstruction):
        for i, layer in enumerate(stack, start=1):
            for written in (layer.attn.proj.weight, layer.ffn.layers[1].weight):
                assert written.std().item() == pytest.approx(0.02 / (2 * i) ** 0.5, rel=0.05)
            assert layer.attn.out_drop.drop_prob == pytest.approx(0.05 * (i - 1))
            assert torch.equal(layer.attn.gamma1.weight, torch.full((96,), 0.1))


@pytest.mark.parametrize(('options', 'std'), [({}, 0.02), (dict(init_std=0.07), 0.07)])
def test_weights_and_positions_start_as_large_as_asked(options, std):
    vit = ProxyViT(proxies=1, **(SIZES | dict(arch=ARCH | dict(embed_dims=96))), **options)
    vit.init_weights()
    for drawn in (vit.pos_embed, vit.layers[0].attn.qkv.weight, vit.patch_embed.projection.weight):
        assert drawn.std().item() == pytest.approx(std, rel=0.1)


def test_positions_may_start_as_sines_and_are_learned_all_the_same():
    vit = ProxyViT(proxies=2, sincos_positions=True, **(SIZES | dict(arch=ARCH)))
    vit.init_weights()
    plain = PlainViT(**(SIZES | dict(arch=ARCH)))
    plain.init_weights()
    assert torch.equal(vit.pos_embed[:, 2:], plain.pos_embed[:, 1:])
    assert vit.pos_embed[:, :2].abs().max() == 0 and vit.pos_embed.requires_grad


def test_hog_target_equals_that_of_maskfeat():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 224, 224)
    target = HOGTarget(grid=(14, 14), patch_size=16)
    assert target.dims == 108
    assert torch.equal(target(images, images), HOGGenerator()(images))


def test_hog_of_a_ramp_is_one_bin():
    """A sideways gradient of -2 has the phase -pi / 2, so -4.5 of 9 bins: the fifth, floored."""
    ramp = torch.arange(32.0).expand(1, 3, 32, 32)
    found = HOGTarget(grid=(4, 4), patch_size=8, pool=4, gaussian_window=8)(ramp, ramp)
    found = found.view(16, 3, 9, 4)
    assert torch.allclose(found[..., 4, :], torch.ones(16, 3, 4))
    assert found.sum() == 16 * 3 * 4


def test_maskfeat_loss_is_the_mean_over_channels_and_masked_patches(semanticmim):
    model = semanticmim(3)
    data = model.data_preprocessor(make_batch(names=('rgb',), visible=6))
    image, layout = data['inputs']['rgb'], data['data_samples']
    mask = torch.ones(3, 16).scatter(1, layout.visible, 0.0)
    predicted = torch.randn(3, 16, 108)
    predicted[mask.bool()] = model.predict(*model.backbone.embed(image, layout)).flatten(0, 1)
    target = model.target_generator(image, image)
    expected = PixelReconstructionLoss(criterion='L2')(predicted, target, mask)
    assert torch.allclose(model(**data, mode='loss')['loss'], expected)


def test_a_masked_patch_changes_targets_and_no_prediction(semanticmim):
    model = semanticmim(3)
    batch = make_batch(names=('rgb',), visible=6)
    patch = int(batch['masks']['rgb'][0].nonzero()[0])
    rows, columns = (slice(8 * i, 8 * i + 8) for i in divmod(patch, 4))

    def compute():
        data = model.data_preprocessor(batch)
        image, layout = data['inputs']['rgb'], data['data_samples']
        return model.predict(*model.backbone.embed(image, layout)), model.target_generator(
            image, image
        )

    predictions, targets = compute()
    batch['inputs']['rgb'][0, :, rows, columns] = torch.randint(0, 256, (3, 8, 8)).byte()
    again, changed = compute()
    assert torch.equal(predictions, again)
    assert not torch.equal(targets[0, patch], changed[0, patch])


def save(model, path):
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.mark.parametrize('proxies', [0, 1, 3])
def test_weights_fill_a_plain_vit_that_computes_the_same(semanticmim, proxies):
    vit = semanticmim(proxies).backbone
    plain = PlainViT(num_cls_tokens=max(proxies, 1), **SIZES)
    own = {k: v for k, v in vit.state_dict().items() if not k.startswith(('mask_', 'recon'))}
    plain.load_state_dict(own)
    plain.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain(images)[0], vit(images)[0])


@pytest.mark.parametrize('options', [{}, BEIT], ids=['maskfeat', 'beit'])
def test_a_checkpoint_with_one_proxy_fills_a_plain_vit(semanticmim, options, tmp_path):
    model = semanticmim(1, **options)
    plain = PlainViT(**SIZES)
    found = load_backbone(plain, save(model, tmp_path / 'epoch_1.pth'))
    assert found.filled == found.tensors
    plain.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(plain(images)[0], model.backbone(images)[0], atol=1e-5)


def test_another_number_of_proxies_is_refused(semanticmim, tmp_path):
    path = save(semanticmim(3), tmp_path / 'epoch_1.pth')
    with pytest.raises(CheckpointMismatch, match='epoch_1'):
        load_backbone(PlainViT(**SIZES), path)


def test_bad_options_are_refused():
    for proxies in (-1, 2.0, '8', None):
        with pytest.raises(ValueError, match=f'proxies is {proxies!r}: expected 0'):
            ProxyViT(proxies=proxies, **SIZES)
    for number in (0, -1, 2.0, '8', None):
        with pytest.raises(ValueError, match=f'num_cls_tokens={number!r}, .*expected at least 1'):
            PlainViT(num_cls_tokens=number, **SIZES)
    for name, value in product(('nbins', 'pool', 'gaussian_window'), (0, -4, 2.0, '4', None)):
        with pytest.raises(ValueError, match=f'{name} of HOGTarget is {value!r}: expected a whole'):
            HOGTarget(
                grid=(4, 4), patch_size=8, **(dict(pool=4, gaussian_window=8) | {name: value})
            )
    with pytest.raises(ValueError, match='takes no num_cls_tokens: proxies alone'):
        ProxyViT(proxies=0, num_cls_tokens=4, **SIZES)
    with pytest.raises(ValueError, match=r'patches of 8 pixels, cells of 5, .* divisors'):
        HOGTarget(grid=(4, 4), patch_size=8, pool=5, gaussian_window=8)


def test_another_image_size_is_refused(semanticmim):
    model = semanticmim(1)
    data = model.data_preprocessor(make_batch(size=40, names=('rgb',), visible=6))
    with pytest.raises(ValueError, match=r'images are \(40, 40\), the model expects \(32, 32\)'):
        model(**data, mode='loss')


TOKENS = dict(vocab_size=11, n_hid=4, n_blk_per_group=1)


@pytest.fixture
def tokenizer(tmp_path):
    """A file with a tiny DALL-E encoder of 11 tokens, and the encoder."""
    encoder = DALLEEncoder(**TOKENS)
    torch.save(encoder.state_dict(), tmp_path / 'tokenizer.pth')
    return tmp_path / 'tokenizer.pth', encoder


def test_token_target_asks_the_encoder_about_the_crop_at_8_pixels_a_patch(tokenizer):
    path, encoder = tokenizer
    target = DiscreteTokenTarget(grid=(3, 3), patch_size=8, weights=str(path), **TOKENS)
    target.init_weights()
    pixels = torch.randint(0, 256, (2, 3, 24, 24)).float()  # already 8 pixels a patch
    expected = encoder(0.8 * pixels / 255 + 0.1).argmax(1)
    assert expected.shape == (2, 3, 3)
    assert torch.equal(target(pixels, pixels), expected.flatten(1))
    assert not any(parameter.requires_grad for parameter in target.parameters())


def test_the_tokenizer_is_in_no_checkpoint_and_stays_what_it_is_when_one_is_loaded(tokenizer):
    target = DiscreteTokenTarget(grid=(3, 3), patch_size=8, weights=str(tokenizer[0]), **TOKENS)
    target.init_weights()
    model = torch.nn.ModuleDict(dict(head=torch.nn.Linear(2, 2), target=target))
    saved = model.state_dict()
    assert list(saved) == ['head.weight', 'head.bias']
    model.load_state_dict(saved)  # strictly: nothing is missing
    weights = target.encoder.state_dict()
    assert all(torch.equal(weights[key], x) for key, x in tokenizer[1].state_dict().items())


def test_beit_loss_is_the_mean_cross_entropy_of_masked_patches(semanticmim, tokenizer):
    target = dict(type='DiscreteTokenTarget', weights=str(tokenizer[0]), **TOKENS)
    model = semanticmim(1, target, **BEIT)
    batch = make_batch(names=('rgb',), visible=6)
    data = model.data_preprocessor(batch)
    logits = model.predict(*model.backbone.embed(data['inputs']['rgb'], data['data_samples']))
    # 32 pixels are the size of the second view, too: 4 patches of 8 pixels a token.
    tokens = tokenizer[1](0.8 * batch['inputs']['rgb'].float() / 255 + 0.1).argmax(1).flatten(1)
    expected = -logits.log_softmax(-1).flatten(0, 1)
    wanted = tokens[batch['masks']['rgb']]
    expected = expected[torch.arange(30), wanted].mean()
    assert torch.allclose(model(**data, mode='loss')['loss'], expected)


def test_a_missing_or_foreign_tokenizer_is_said_with_the_way_to_get_it(tokenizer, tmp_path):
    def start(path, **options):
        DiscreteTokenTarget((4, 4), 8, weights=str(path), **(TOKENS | options)).init_weights()

    with pytest.raises(FileNotFoundError, match=r'none\.pth.* does not exist: download https://'):
        start(tmp_path / 'none.pth')
    with pytest.raises(CheckpointMismatch, match=r'of 11 tokens.*vocab_size is 12: download'):
        start(tokenizer[0], vocab_size=12)
    with pytest.raises(CheckpointMismatch, match="does not fit DALL-E's encoder: download"):
        start(tokenizer[0], n_hid=8)


def test_compiled_model_computes_the_same(build):
    backbone = dict(type='ProxyViT', proxies=2, **SIZES)
    cfg = dict(type='SemanticMIM', backbone=backbone, target_generator=HOG)
    losses = []
    for options in (False, dict(backend='eager', fullgraph=True)):
        model = build(cfg | dict(compile=options)).eval()
        data = model.data_preprocessor(make_batch(names=('rgb',), visible=6))
        losses.append(model(**data, mode='loss')['loss'])
    assert torch.allclose(*losses)
