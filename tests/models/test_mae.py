"""mmpretrain's MAE with our data and recipe, against a plain re-implementation."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.nn import functional as F

from mmc2fmae.checkpoints import load_backbone
from mmc2fmae.models import PlainViT

CONFIG = Path(__file__).parents[2] / 'configs/pretrain/mae_vitb_400e.py'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=96)


@pytest.fixture
def cfg():
    """Return the paper's config with a tiny model for 32 x 32 images and patches of 8."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.update(arch=ARCH, img_size=32, patch_size=8)
    cfg.model.neck.update(num_patches=16, patch_size=8, embed_dim=24, decoder_embed_dim=16)
    cfg.model.neck.update(decoder_depth=2, decoder_num_heads=2)
    cfg.model.head.patch_size = 8
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.optim_wrapper.pop('dtype')
    return cfg


def images(batch=3):
    return torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)


class Block(nn.Module):
    """Pre-norm transformer block on PyTorch's own attention."""

    def __init__(self, dims, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dims, eps=1e-6), nn.LayerNorm(dims, eps=1e-6)
        self.attn = nn.MultiheadAttention(dims, heads, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(dims, 4 * dims), nn.Linear(4 * dims, dims)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class PlainMAE(nn.Module):
    """MAE as its paper describes it (arXiv 2111.06377, section 3), 16 patches of 8 x 8 pixels."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(192, 24)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 24))
        self.register_buffer('positions', torch.zeros(1, 17, 24))
        self.encoder = nn.Sequential(Block(24, 2), Block(24, 2), nn.LayerNorm(24, eps=1e-6))
        self.narrow = nn.Linear(24, 16)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.register_buffer('decoder_positions', torch.zeros(1, 17, 16))
        self.decoder = nn.Sequential(Block(16, 2), Block(16, 2), nn.LayerNorm(16, eps=1e-6))
        self.predict = nn.Linear(16, 192)

    def forward(self, x):
        """Loss of normalised (B, 3, 32, 32); 12 of 16 patches are masked, by the smallest noise."""
        order = torch.rand(len(x), 16).argsort(1)
        keep = order[:, :4]
        patches = F.unfold(x, 8, stride=8).transpose(1, 2)  # (B, 16, 3 * 64)
        tokens = self.embed(patches) + self.positions[:, 1:]
        tokens = torch.stack([t[k] for t, k in zip(tokens, keep, strict=True)])
        first = (self.cls_token + self.positions[:, :1]).expand(len(x), 1, 24)
        encoded = self.narrow(self.encoder(torch.cat([first, tokens], 1)))
        full = self.mask_token.repeat(len(x), 16, 1)
        full = torch.stack(
            [f.index_copy(0, k, e) for f, k, e in zip(full, keep, encoded[:, 1:], strict=True)]
        )
        full = torch.cat([encoded[:, :1], full], 1) + self.decoder_positions
        predicted = self.predict(self.decoder(full))[:, 1:]
        # The official order of a patch's values is row, column, channel.
        target = patches.unflatten(2, (3, 64)).transpose(2, 3).flatten(2)
        target = (target - target.mean(2, keepdim=True)) / (
            target.var(2, keepdim=True) + 1e-6
        ).sqrt()
        masked = torch.ones(len(x), 16).scatter(1, keep, 0.0).bool()
        return (predicted - target).square().mean(2)[masked].mean()


def counterpart(name):
    """Return mmpretrain's name of a parameter of :class:`PlainMAE`."""
    part, _, rest = name.partition('.')
    if part in ('encoder', 'decoder'):
        number, _, leaf = rest.partition('.')
        home = 'backbone.layers' if part == 'encoder' else 'neck.decoder_blocks'
        if number == '2':
            return f'{"backbone" if part == "encoder" else "neck"}.ln1.{leaf}'
        for ours, theirs in (
            ('norm', 'ln'),
            ('attn.in_proj_', 'attn.qkv.'),
            ('attn.out_proj', 'attn.proj'),
            ('fc1', 'ffn.layers.0.0'),
            ('fc2', 'ffn.layers.1'),
        ):
            leaf = leaf.replace(ours, theirs)
        return f'{home}.{number}.{leaf}'
    outer = dict(
        embed='backbone.patch_embed.projection',
        cls_token='backbone.cls_token',
        positions='backbone.pos_embed',
        narrow='neck.decoder_embed',
        mask_token='neck.mask_token',
        decoder_positions='neck.decoder_pos_embed',
        predict='neck.decoder_pred',
    )
    return outer[part] + ('.' + rest if rest else '')


@pytest.fixture
def pair(cfg, build):
    """Return mmpretrain's MAE and a plain one with its weights, none of them 0 or 1."""
    model = build(cfg.model)
    plain = PlainMAE()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)
        weights = model.state_dict()
        plain.load_state_dict(
            {k: weights[counterpart(k)].reshape(v.shape) for k, v in plain.state_dict().items()}
        )
    return model, plain


def test_loss_gradients_and_a_step_equal_a_plain_implementation(cfg, pair):
    model, plain = pair
    inputs = model.data_preprocessor(dict(inputs=dict(rgb=images())))
    torch.manual_seed(3)
    loss = model(**inputs, mode='loss')['loss']
    torch.manual_seed(3)
    expected = plain(inputs['inputs'])
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    ours = dict(model.named_parameters())
    theirs = {counterpart(name): p for name, p in plain.named_parameters()}
    assert set(theirs) == {name for name, p in ours.items() if p.requires_grad}
    for name, parameter in theirs.items():
        grad = ours[name].grad.view_as(parameter)
        torch.testing.assert_close(grad, parameter.grad, atol=1e-5, rtol=0, msg=name)

    # One step as published: no decay of biases and norms, decay of all else, tokens included.
    MMLogger.get_instance('tests', log_level='ERROR')
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = [
        dict(params=[p for p in theirs.values() if p.ndim == 1], weight_decay=0.0),
        dict(params=[p for p in theirs.values() if p.ndim > 1], weight_decay=0.05),
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.5e-4 * 4096 / 256, betas=(0.9, 0.95))
    for name, parameter in theirs.items():  # AdamW's first step is the sign of the gradient:
        parameter.grad.copy_(ours[name].grad.view_as(parameter))  # noise must be the same noise
    before = {name: parameter.detach().clone() for name, parameter in theirs.items()}
    wrapper.optimizer.step()
    optimizer.step()
    for name, parameter in theirs.items():
        found = ours[name].view_as(parameter)
        torch.testing.assert_close(found, parameter, atol=1e-5, rtol=0, msg=name)
        assert not torch.equal(parameter, before[name]), name


def test_batches_become_normalised_photographs(cfg, build):
    model = build(cfg.model)
    batch = dict(inputs=dict(rgb=images()), path=['a', 'b', 'c'], skipped=['', '', ''])
    prepared = model.data_preprocessor(batch)
    assert prepared['data_samples'] is None
    red = (batch['inputs']['rgb'][1, 0, 5, 7] - 123.675) / 58.395
    assert prepared['inputs'][1, 0, 5, 7].item() == pytest.approx(red.item(), rel=1e-5)


def test_three_quarters_are_masked(cfg, build):
    model = build(cfg.model)
    _, mask, _ = model.backbone(torch.randn(2, 3, 32, 32))
    assert mask.sum(1).tolist() == [12, 12]


def test_the_encoder_fills_a_plain_vit(cfg, build, tmp_path):
    path = tmp_path / 'mae.pth'
    torch.save(dict(state_dict=build(cfg.model).state_dict()), path)
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, final_norm=False)
    found = load_backbone(vit, path)
    assert found.filled == found.tensors
