import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmc2fmae.engine.layer_decay import group_table, layer_groups
from mmc2fmae.models import PlainViT


class Model(BaseModel):
    """A ViT-B with a head."""

    def __init__(self, depth=12, dims=8):
        super().__init__()
        arch = dict(embed_dims=dims, num_layers=depth, num_heads=2, feedforward_channels=16)
        self.backbone = PlainViT(arch=arch, out_type='avg_featmap', final_norm=False)
        self.head = nn.Linear(dims, 10)

    def forward(self, inputs, mode):
        return None


def wrapper_cfg(**paramwise):
    return ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05),
        constructor='LayerDecayConstructor',
        paramwise_cfg=paramwise,
    )


def test_rates_of_vit_b_are_those_of_beit_and_mae():
    groups = layer_groups(Model(), layer_decay=0.65, weight_decay=0.05)
    scales = {group.name: group.lr_scale for group in groups}
    assert list(scales) == ['embeddings', *(f'block {i}' for i in range(1, 13)), 'rest']
    assert scales['embeddings'] == pytest.approx(0.65**13)
    assert scales['block 1'] == pytest.approx(0.65**12)
    assert scales['block 12'] == pytest.approx(0.65)
    assert scales['rest'] == 1
    members = {name: g.name for g in groups for name in g.parameters}
    assert members['backbone.patch_embed.projection.weight'] == 'embeddings'
    assert members['backbone.layers.11.ffn.layers.1.bias'] == 'block 12'
    # The norm of the pooled features is fresh, so it learns at the head's rate.
    assert members['backbone.ln2.weight'] == members['head.weight'] == 'rest'


def test_only_matrices_decay_and_every_parameter_is_in_one_group():
    model = Model()
    groups = layer_groups(model, layer_decay=0.65, weight_decay=0.05)
    decays = {name: g.weight_decay for g in groups for name in g.parameters}
    assert sum(len(g.parameters) for g in groups) == len(decays) == len(list(model.parameters()))
    assert decays['backbone.cls_token'] == decays['backbone.pos_embed'] == 0
    assert decays['backbone.layers.3.ln1.weight'] == decays['head.bias'] == 0
    assert decays['backbone.layers.3.attn.qkv.weight'] == decays['head.weight'] == 0.05


def test_frozen_parameters_are_left_out():
    model = Model()
    model.backbone.patch_embed.requires_grad_(False)
    names = [n for g in layer_groups(model, 0.5, 0.1) for n in g.parameters]
    assert not [n for n in names if 'patch_embed' in n]


def test_optimizer_has_the_rates_and_steps():
    model = Model(depth=2)
    before = copy.deepcopy(model.head.weight)
    wrapper = build_optim_wrapper(model, wrapper_cfg(layer_decay=0.5))
    rates = sorted({group['lr'] for group in wrapper.optimizer.param_groups})
    assert rates == pytest.approx([4e-3 / 8, 4e-3 / 4, 4e-3 / 2, 4e-3])
    features = model.backbone(torch.rand(2, 3, 224, 224))[0]
    wrapper.update_params(model.head(features).sum())
    assert not torch.equal(before, model.head.weight)


def test_table_names_every_group():
    table = group_table(layer_groups(Model(depth=2), 0.5, 0.05), lr=1.0)
    lines = table.splitlines()
    assert lines[0].split() == ['group', 'lr', 'scale', 'lr', 'decay', 'tensors', 'params']
    assert lines[1].split()[:3] == ['embeddings', '0.125000', '1.250e-01']
    assert lines[-1].split() == ['rest', '1.000000', '1.000e+00', '0.05', '1', '80']


@pytest.mark.parametrize(
    ('paramwise', 'message'),
    [
        (dict(layer_decay=0.65, norm_decay_mult=0.0), 'norm_decay_mult'),
        (dict(), 'layer_decay'),
        (dict(layer_decay=1.5), r'layer_decay is 1.5'),
    ],
)
def test_options_that_would_be_ignored_or_make_no_sense_raise(paramwise, message):
    with pytest.raises(ValueError, match=message):
        build_optim_wrapper(Model(depth=1), wrapper_cfg(**paramwise))


def test_a_backbone_that_is_no_vit_is_refused():
    model = Model(depth=1)
    model.backbone = nn.Linear(2, 2)
    with pytest.raises(TypeError, match='plain ViT'):
        layer_groups(model, 0.5, 0.05)


def test_proxies_are_embeddings_and_never_decay():
    backbone = PlainViT(
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
        img_size=32,
        patch_size=8,
        num_cls_tokens=3,
    )
    model = nn.ModuleDict(dict(backbone=backbone))
    groups = layer_groups(model, layer_decay=0.5, weight_decay=0.05)
    (found,) = [group for group in groups if 'backbone.cls_token' in group.parameters]
    assert 'backbone.pos_embed' in found.parameters
    assert (found.name, found.lr_scale, found.weight_decay) == ('embeddings', 0.125, 0.0)
