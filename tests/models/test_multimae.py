"""MultiMAE against a plain re-implementation of its paper and published options, and depth."""

import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn import functional as F

from mmc2fmae.checkpoints import load_backbone
from mmc2fmae.models import PlainViT
from mmc2fmae.models.c2fmae import truncated_statistics
from tests.models.conftest import make_batch

NAMES = ('rgb', 'depth', 'semantic')
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


@pytest.fixture
def config():
    """Return the config of a MultiMAE for 32 x 32 images with 16 patches a granularity."""
    return dict(
        type='MultiMAE',
        backbone=dict(
            type='MultiGranularViT',
            arch=ARCH,
            img_size=32,
            patch_size=8,
            final_norm=False,
            granularities=dict(
                depth=dict(stride=1), semantic=dict(num_classes=9, stride=2, class_std=0.02)
            ),
        ),
        neck=dict(type='MultiMAEDecoder', dims=16, num_heads=2, depth=1),
        head=dict(type='MultiMAEHead'),
    )


def depth_batch(visible=8, batch=3, seed=0):
    """Photographs, depth and semantic maps; masks over the three."""
    found = make_batch(visible=visible, batch=batch, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    maps = found['inputs']
    depth = torch.rand(batch, 32, 32, generator=generator)
    found['inputs'] = dict(rgb=maps['rgb'], depth=depth, semantic=maps['semantic'])
    found['masks'] = dict(zip(NAMES, found['masks'].values(), strict=True))
    return found


def losses(model, batch):
    return model(**model.data_preprocessor(batch), mode='loss')


# The reference: MultiMAE written down plainly, one sample at a time, without this project's parts.


def attend(q, k, v, heads):
    """Softmax attention of (L, D) by (K, D), without projections."""
    q, k, v = (x.view(len(x), heads, -1).transpose(0, 1) for x in (q, k, v))
    scores = (q @ k.transpose(1, 2)) / math.sqrt(q.shape[-1])
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def block(layer, x, heads):
    """Pre-norm transformer block with the weights of ``layer``."""
    q, k, v = layer.attn.qkv(layer.ln1(x)).chunk(3, dim=1)
    x = x + layer.attn.proj(attend(q, k, v, heads))
    up, down = layer.ffn.layers[0][0], layer.ffn.layers[1]
    return x + down(F.gelu(up(layer.ln2(x))))


def sincos(side, dims):
    """2-D sine and cosine of rows and columns, (side * side, dims)."""
    omega = 10000.0 ** -(torch.arange(dims // 4) / (dims // 4))
    angles = torch.arange(side)[:, None] * omega
    rows = angles.repeat_interleave(side, 0)
    columns = angles.repeat(side, 1)
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], 1)


def cut(image, side):
    """Cut (C, H, W) into flat patches (N, C * side * side), row by row."""
    return F.unfold(image[None], side, stride=side)[0].T


def reference(model, batch, index):
    """Encoder output, predictions (N, values) and errors at masked patches of one sample."""
    net, grid, heads = model.backbone, 4, 2
    rgb = batch['inputs']['rgb'][index].float()
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    rgb = (rgb - mean[:, None, None]) / std[:, None, None]
    depth = batch['inputs']['depth'][index]
    middle = depth.flatten().sort().values[102:921]  # of 1024, without a tenth at each end
    depth = (depth - middle.mean()) / (middle.var() + 1e-6).sqrt()
    labels = batch['inputs']['semantic'][index].long()
    classes = net.label_embeds['semantic'].classes(labels)  # (16, 16, 64)
    classes = classes.view(grid, 4, grid, 4, 64).transpose(1, 2).reshape(16, -1)
    patches = dict(rgb=cut(rgb, 8), depth=cut(depth[None], 8), semantic=classes)
    projection = net.patch_embed.projection
    embedded = [
        F.linear(patches['rgb'], projection.weight.flatten(1), projection.bias),
        net.label_embeds['depth'].projection(patches['depth']),
        net.label_embeds['semantic'].projection(patches['semantic']),
    ]
    tokens = torch.cat([x + sincos(grid, 24) for x in embedded])
    masked = torch.cat([batch['masks'][name][index] for name in NAMES])
    x = torch.cat([tokens[~masked], net.cls_token[0]])  # the global token last, no position
    for layer in net.layers:
        x = block(layer, x, heads)
    encoded, predictions, errors = x, {}, {}
    for task, part in dict(rgb=0, depth=1, semantic=2, norm_rgb=0).items():
        adapter = model.neck.adapters[task]
        projected = adapter.projection(encoded)
        full = adapter.mask_token[0].repeat(48, 1).clone()
        full[~masked] = projected[:-1]
        full = full + (sincos(grid, 16) + adapter.granularity_embed).flatten(0, 1)
        context = torch.cat([full[~masked], projected[-1:]])
        stage = adapter.stage
        query, context = stage.query_norm(full[16 * part :][:16]), stage.context_norm(context)
        k, v = stage.cross_attn.kv(context).chunk(2, dim=1)
        x = stage.cross_attn.proj(attend(stage.cross_attn.q(query), k, v, heads))
        norm, up, _, down = stage.mlp
        x = x + down(F.gelu(up(norm(x))))
        for layer in stage.blocks:
            x = block(layer, x, heads)
        predicted = predictions[task] = model.head.predictors[task](x)
        hidden = batch['masks'][NAMES[part]][index]
        if task == 'semantic':
            target = labels.view(grid, 4, grid, 4).transpose(1, 2).reshape(16, 16)
            logits = predicted.view(16, 16, 9)
            error = F.cross_entropy(logits.transpose(1, 2), target, reduction='none')
        elif task == 'depth':
            error = (predicted - patches['depth']).abs()
        else:
            target = patches['rgb']
            if task == 'norm_rgb':
                spread = (target.var(1, keepdim=True) + 1e-6).sqrt()
                target = (target - target.mean(1, keepdim=True)) / spread
            error = (predicted - target) ** 2
        errors[task] = error[hidden]
    return encoded, predictions, errors


def test_encoder_predictions_and_losses_equal_a_plain_implementation(config, build):
    model = build(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # nothing stays at zero or one
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)
    batch = depth_batch(visible=16)
    for name, mask in batch['masks'].items():
        mask[1] = name != 'rgb'  # no rgb patch to predict: the sample leaves the average
    prepared = model.data_preprocessor(batch)
    layout = prepared['data_samples']
    encoded = model.backbone.encode(model.backbone.embed(prepared['inputs'], layout))
    features = model.neck(encoded, layout.visible)
    found = losses(model, batch)
    errors = {task: [] for task in features}
    for index in range(3):
        expected, predictions, misses = reference(model, batch, index)
        torch.testing.assert_close(encoded[index, 1:], expected[:-1], atol=1e-4, rtol=0)
        torch.testing.assert_close(encoded[index, 0], expected[-1], atol=1e-4, rtol=0)
        for task, values in predictions.items():
            predicted = model.head.predictors[task](features[task][index])
            torch.testing.assert_close(predicted, values, atol=1e-4, rtol=0)
            errors[task].append(misses[task].mean())
    assert set(found) == {f'loss_{task}' for task in errors}
    for task, means in errors.items():
        mean = torch.stack([m for m in means if not m.isnan()]).mean()
        assert found[f'loss_{task}'].item() == pytest.approx(mean.item(), abs=1e-5)


@pytest.mark.parametrize('task', ['rgb', 'depth', 'semantic', 'norm_rgb'])
def test_decoders_are_independent_and_the_encoder_is_shared(config, build, task):
    model = build(config)
    losses(model, depth_batch())[f'loss_{task}'].backward()
    for name, adapter in model.neck.adapters.items():
        touched = any(p.grad is not None and p.grad.any() for p in adapter.parameters())
        assert touched == (name == task)
    assert model.backbone.layers[0].attn.qkv.weight.grad.any()
    assert model.backbone.cls_token.grad.any()


def test_every_trainable_parameter_has_a_gradient(config, build):
    model = build(config)
    sum(losses(model, depth_batch()).values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_training_lowers_all_losses_together(config, build):
    model = build(config)
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    log = [model.train_step(depth_batch(), wrapper)['loss'].item() for _ in range(8)]
    assert log[-1] < log[0]


def test_queries_keys_and_values_are_initialised_each_by_itself(config, build):
    config['backbone']['arch'] = ARCH | dict(embed_dims=96)
    config['neck']['dims'] = 64
    model = build(config)
    fused = model.backbone.layers[0].attn.qkv.weight
    assert fused.abs().max().item() == pytest.approx(math.sqrt(6 / (96 + 96)), rel=0.01)
    pair = model.neck.adapters['depth'].stage.cross_attn.kv.weight
    assert pair.abs().max().item() == pytest.approx(math.sqrt(6 / (64 + 64)), rel=0.01)
    classes = model.backbone.label_embeds['semantic'].classes.weight
    assert classes.std().item() == pytest.approx(0.02, rel=0.1)
    assert not any(adapter.mask_token.any() for adapter in model.neck.adapters.values())


def test_pretrained_encoder_keeps_its_queries(config, build, tmp_path):
    path = tmp_path / 'multimae.pth'
    trained = build(config)
    torch.save(dict(state_dict=trained.state_dict()), path)
    config['backbone']['init_cfg'] = dict(type='StrictPretrained', checkpoint=str(path))
    again = build(config, seed=1)
    for name, value in trained.backbone.state_dict().items():
        assert torch.equal(value, again.backbone.state_dict()[name]), name


def test_the_encoder_fills_a_plain_vit(config, build, tmp_path):
    path = tmp_path / 'multimae.pth'
    trained = build(config)
    torch.save(dict(state_dict=trained.state_dict()), path)
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, final_norm=False)
    found = load_backbone(vit, path)
    assert found.filled == found.tensors
    assert torch.equal(vit.layers[1].attn.qkv.weight, trained.backbone.layers[1].attn.qkv.weight)


def test_reconstruction_has_photographs_and_depth_in_their_own_scale(config, build):
    model = build(config).eval()
    batch = depth_batch()
    batch['inputs']['depth'] = batch['inputs']['depth'] * 0.1 + 0.5
    maps = model.reconstruct(batch)
    assert set(maps) == set(NAMES)
    assert (
        maps['rgb'].shape == (3, 3, 32, 32) and 0 <= maps['rgb'].min() <= maps['rgb'].max() <= 255
    )
    for predictor in model.head.predictors.values():
        nn.init.zeros_(predictor.weight)
    depth = model.reconstruct(batch)['depth']  # a prediction of 0 is the middle of the map
    mean, _ = truncated_statistics(batch['inputs']['depth'])
    torch.testing.assert_close(depth, mean.expand(3, 32, 32))


def test_weights_name_tasks(config, build):
    before = losses(build(config), depth_batch())
    config['head']['loss_weights'] = dict(norm_rgb=3.0)
    after = losses(build(config), depth_batch())
    assert after['loss_norm_rgb'].item() == pytest.approx(3 * before['loss_norm_rgb'].item())
    assert after['loss_rgb'].item() == pytest.approx(before['loss_rgb'].item())
    config['head']['loss_weights'] = dict(edges=1.0)
    with pytest.raises(ValueError, match=r"names \['edges'\].*'norm_rgb'"):
        build(config)


def test_compiled_model_equals_eager_and_compiles_once(config, build):
    compiled = []

    def backend(graph, example_inputs):
        compiled.append(graph)
        return graph.forward

    eager = build(config)
    model = build(copy.deepcopy(config) | dict(compile=dict(backend=backend)))
    for seed in range(2):
        expected = losses(eager, depth_batch(seed=seed))
        for name, value in losses(model, depth_batch(seed=seed)).items():
            torch.testing.assert_close(value, expected[name])
    assert len(compiled) == 1


def test_truncated_statistics_leave_out_a_tenth_at_each_end():
    # 0 to 9: 1 to 8 are left, mean 4.5 and variance 6; outliers at the ends change nothing.
    maps = torch.arange(10.0).view(1, 2, 5)
    wild = maps.clone()
    wild[0, 0, 0], wild[0, 1, 4] = -1e6, 1e6
    for values in (maps, wild):
        mean, deviation = truncated_statistics(values)
        assert mean.shape == deviation.shape == (1, 1, 1)
        assert mean.item() == 4.5
        assert deviation.item() == pytest.approx(math.sqrt(6), rel=1e-5)
    assert truncated_statistics(torch.ones(1, 4, 4))[1].item() == pytest.approx(1e-3)


def test_depth_works_in_c2fmae_too(config, build):
    config.update(type='C2FMAE', head=dict(type='MultiGranularHead'))
    config['neck'] = dict(
        type='CascadedDecoder', dims=16, num_heads=2, depth=1, order=('semantic', 'depth', 'rgb')
    )
    model = build(config)
    found = losses(model, depth_batch())
    assert set(found) == {'loss_rgb', 'loss_depth', 'loss_semantic'}
    nn.init.zeros_(model.head.predictors['depth'][1].weight)
    batch = depth_batch()
    depth = model.data_preprocessor(batch)['inputs']['depth']
    patches = F.unfold(depth[:, None], 8, stride=8).abs().mean(1)  # a prediction of 0 costs |x|
    masks = batch['masks']['depth']
    expected = torch.stack([x[m].mean() for x, m in zip(patches, masks, strict=True)]).mean()
    assert losses(model, batch)['loss_depth'].item() == pytest.approx(expected.item(), rel=1e-5)


def test_ids_for_a_granularity_without_classes_are_refused(config, build):
    model = build(config)
    batch = depth_batch()
    batch['inputs']['depth'] = torch.zeros(3, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r'depth maps hold .*num_classes .*granularities\.depth'):
        model.data_preprocessor(batch)


def test_depth_of_another_size_is_named(config, build):
    model = build(config)
    batch = depth_batch()
    batch['inputs']['depth'] = torch.rand(3, 16, 16)
    with pytest.raises(
        ValueError, match=r'depth maps are \(16, 16\), the model expects \(32, 32\)'
    ):
        losses(model, batch)
