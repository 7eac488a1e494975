"""What is written is read by the others' own code, and exactly."""

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from mmc2fmae.checkpoints import (
    Architecture,
    build_backbone,
    export,
    export_backbone,
    read_backbone,
    timm_call,
)
from mmc2fmae.checkpoints.export import check_destination
from mmc2fmae.checkpoints.naming import TIMM, from_our_names
from mmc2fmae.errors import CheckpointMismatch
from tests.checkpoints.conftest import MultiMAEReference, proxy_vit, randomise, timm_vit


@pytest.fixture
def source(tmp_path):
    """A ViT whose every number is stated."""
    torch.save(timm_vit().state_dict(), tmp_path / 'source.pth')
    stated = dict(num_heads=2, mean=[0.5, 0.4, 0.3], std=[0.1, 0.2, 0.3])
    return read_backbone(tmp_path / 'source.pth', **stated)


@pytest.mark.parametrize('to', ['mmc2fmae', 'timm', 'huggingface'])
def test_round_trips_are_exact(source, to, tmp_path):
    dst = tmp_path / ('folder' if to == 'huggingface' else 'x.safetensors')
    export_backbone(source, dst, to)
    back = read_backbone(dst)
    assert back.arch == source.arch
    assert back.preprocessing == source.preprocessing
    assert back.unused == []
    for key, value in source.weights.items():
        assert torch.equal(back.weights[key], value)


def test_round_trip_through_all_houses_ends_with_the_bits_of_timm(source, tmp_path):
    export_backbone(source, tmp_path / 'hf', 'huggingface')
    export_backbone(read_backbone(tmp_path / 'hf'), tmp_path / 'a.safetensors', 'mmc2fmae')
    export_backbone(read_backbone(tmp_path / 'a.safetensors'), tmp_path / 't.safetensors', 'timm')
    end, start = load_file(tmp_path / 't.safetensors'), torch.load(tmp_path / 'source.pth')
    assert end.keys() == start.keys()
    assert all(torch.equal(end[key], start[key]) for key in start)


OUTSIDE = """
import sys, torch, timm
images = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
features = []
for name, path, options in {calls!r}:
    vit = timm.create_model(name, checkpoint_path=path, num_classes=0, **options).eval()
    with torch.no_grad():
        features.append(vit.forward_features(images))
torch.save(features, {out!r})
assert 'mmc2fmae' not in sys.modules and 'mmengine' not in sys.modules
"""


def test_timm_opens_the_exports_without_our_code(tmp_path, python):
    references = dict(
        final_norm=timm_vit(),
        pooled_norm=timm_vit(global_pool='avg'),
        multimae=randomise(MultiMAEReference()),
    )
    calls, expected = [], []
    images = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
    for kind, reference in references.items():
        torch.save(reference.state_dict(), tmp_path / f'{kind}.pth')
        backbone = read_backbone(tmp_path / f'{kind}.pth')
        path = str(tmp_path / f'{kind}.safetensors')
        export_backbone(backbone, path, 'timm')
        name, options = timm_call(backbone.arch)
        calls.append((name, path, options))
        with torch.no_grad():
            expected.append(build_backbone(tmp_path / f'{kind}.pth')[0](images)[0])
    out = tmp_path / 'features.pt'
    result = python('-c', OUTSIDE.format(calls=calls, out=str(out)))
    assert result.returncode == 0, result.stderr
    torch.testing.assert_close(torch.load(out), expected, atol=1e-4, rtol=1e-4)


def test_a_usual_vit_is_called_by_timms_name():
    with torch.device('meta'):
        vit = timm.create_model('vit_base_patch16_224', num_classes=0)
    arch = dict(num_heads=12, feedforward_channels=3072, in_channels=3, norm_eps=1e-6)
    norms = dict(qkv_bias=True, final_norm=True, pooled_norm=False)
    base = Architecture(768, 12, patch_size=16, img_size=(224, 224), **arch, **norms)
    assert timm_call(base) == ('vit_base_patch16_224', {})
    assert len(base.shapes()) == 150
    assert sorted(base.shapes().values()) == sorted(
        tuple(v.shape) for v in vit.state_dict().values()
    )


HUGGING_FACE_KEYS = {
    *(f'embeddings.{name}' for name in ('cls_token', 'position_embeddings')),
    *(f'embeddings.patch_embeddings.projection.{leaf}' for leaf in ('weight', 'bias')),
    *(
        f'encoder.layer.{i}.{name}.{leaf}'
        for i in (0, 1)
        for name in (
            'layernorm_before',
            'attention.attention.query',
            'attention.attention.key',
            'attention.attention.value',
            'attention.output.dense',
            'layernorm_after',
            'intermediate.dense',
            'output.dense',
        )
        for leaf in ('weight', 'bias')
    ),
    'layernorm.weight',
    'layernorm.bias',
}


def test_hugging_face_folder_has_the_published_layout(source, tmp_path):
    export_backbone(source, tmp_path / 'hf', 'huggingface')
    assert sorted(path.name for path in (tmp_path / 'hf').iterdir()) == [
        'config.json',
        'model.safetensors',
        'preprocessor_config.json',
    ]
    assert set(load_file(tmp_path / 'hf/model.safetensors')) == HUGGING_FACE_KEYS
    config = json.loads((tmp_path / 'hf/config.json').read_text())
    assert config['model_type'] == 'vit' and config['layer_norm_eps'] == 1e-6
    assert (config['hidden_size'], config['num_attention_heads'], config['image_size']) == (
        128,
        2,
        32,
    )
    processor = json.loads((tmp_path / 'hf/preprocessor_config.json').read_text())
    assert processor['image_mean'] == [0.5, 0.4, 0.3]
    assert processor['crop_size'] == dict(height=32, width=32)


TRANSFORMERS = """
import sys, torch
from transformers import ViTModel
vit, info = ViTModel.from_pretrained({path!r}, add_pooling_layer=False, output_loading_info=True)
assert not info['missing_keys'] and not info['unexpected_keys'], info
images = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
with torch.no_grad():
    torch.save(vit.eval()(images).last_hidden_state, {out!r})
assert 'mmc2fmae' not in sys.modules and 'mmengine' not in sys.modules
"""


def test_transformers_opens_the_export_without_our_code(source, tmp_path, python):
    package = find_spec('transformers')  # not imported here: it is slow and nothing of ours
    if package is None:
        pytest.skip('transformers is not installed')
    export_backbone(source, tmp_path / 'hf', 'huggingface')
    out = tmp_path / 'features.pt'
    code = TRANSFORMERS.format(path=str(tmp_path / 'hf'), out=str(out))
    result = python('-c', code, path=(Path(package.origin).parents[1],))
    assert result.returncode == 0, result.stderr
    images = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
    vit, _ = build_backbone(tmp_path / 'hf')
    with torch.no_grad():
        torch.testing.assert_close(torch.load(out), vit(images)[0], atol=1e-4, rtol=1e-4)


def test_timm_json_holds_preprocessing_and_call(source, tmp_path):
    export_backbone(source, tmp_path / 'vit.safetensors', 'timm')
    said = json.loads((tmp_path / 'vit.json').read_text())
    assert said['pretrained_cfg']['mean'] == [0.5, 0.4, 0.3]
    assert said['model_args']['embed_dim'] == 128
    assert said['num_classes'] == 0


def test_what_hugging_face_has_no_place_for_is_an_error(tmp_path):
    for reference in (MultiMAEReference(), timm_vit(global_pool='avg')):
        torch.save(reference.state_dict(), tmp_path / 'x.pth')
        with pytest.raises(CheckpointMismatch, match='export it to timm'):
            export_backbone(read_backbone(tmp_path / 'x.pth'), tmp_path / 'hf', 'huggingface')
    assert not (tmp_path / 'hf').exists()


def test_proxies_stay_in_our_files_and_have_no_place_elsewhere(tmp_path):
    torch.save(proxy_vit(3).state_dict(), tmp_path / 'x.pth')
    found = read_backbone(tmp_path / 'x.pth')
    export_backbone(found, tmp_path / 'x.safetensors', 'mmc2fmae')
    back = read_backbone(tmp_path / 'x.safetensors')
    assert back.arch == found.arch and back.stated['num_cls_tokens'] == 3
    for to, dst in (('timm', 't.safetensors'), ('huggingface', 'hf')):
        with pytest.raises(CheckpointMismatch, match='has one class token, this one 3'):
            export_backbone(found, tmp_path / dst, to)
        assert not (tmp_path / dst).exists()


@torch.no_grad()
def test_registers_of_timm_carry_proxies_but_its_output_is_the_first_of_them(images):
    """Why they are refused: the tokens are equal, the output is another."""
    ours = proxy_vit(3)
    weights = from_our_names(ours.state_dict(), TIMM)
    weights['cls_token'], weights['reg_token'] = weights['cls_token'].split([1, 2], dim=1)
    theirs = timm_vit(reg_tokens=2, mlp_ratio=2, norm_layer=partial(nn.LayerNorm, eps=1e-6))
    theirs.load_state_dict(weights)
    (tokens,) = ours(images)
    torch.testing.assert_close(theirs.forward_features(images), tokens, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(theirs(images), tokens[:, 0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(tokens[:, 0], tokens[:, :3].mean(dim=1), atol=1e-2)


def test_two_norms_after_the_blocks_have_no_place_in_timm(tmp_path):
    weights = timm_vit().state_dict()
    weights |= {f'fc_norm.{leaf}': weights[f'norm.{leaf}'] for leaf in ('weight', 'bias')}
    torch.save(weights, tmp_path / 'x.pth')
    with pytest.raises(CheckpointMismatch, match='a timm ViT has one of them'):
        export_backbone(read_backbone(tmp_path / 'x.pth'), tmp_path / 'x.safetensors', 'timm')


def test_unknown_heads_are_not_exported(tmp_path):
    torch.save(timm_vit(embed_dim=24).state_dict(), tmp_path / 'x.pth')
    with pytest.raises(CheckpointMismatch, match='--num-heads'):
        export_backbone(read_backbone(tmp_path / 'x.pth'), tmp_path / 'x.safetensors', 'mmc2fmae')


def test_a_result_that_reads_differently_is_an_error(source, tmp_path, monkeypatch):
    torn = read_backbone(tmp_path / 'source.pth', num_heads=2)
    torn.weights['cls_token'] = torn.weights['cls_token'] + 1
    monkeypatch.setattr(export, 'read_backbone', lambda path: torn)
    with pytest.raises(CheckpointMismatch, match='reads differently'):
        export_backbone(source, tmp_path / 'x.safetensors', 'mmc2fmae')


@pytest.mark.parametrize(
    ('dst', 'to', 'error', 'message'),
    [
        ('x.pth', 'timm', ValueError, r'ends in \.safetensors'),
        ('x.safetensors', 'huggingface', ValueError, 'is a folder'),
        ('source.safetensors', 'mmc2fmae', ValueError, 'where the source'),
        ('', 'huggingface', ValueError, 'where the source'),
        ('there.safetensors', 'timm', FileExistsError, '--force'),
    ],
)
def test_destinations_are_checked_first(dst, to, error, message, tmp_path):
    for name in ('source.safetensors', 'there.safetensors'):
        (tmp_path / name).touch()
    with pytest.raises(error, match=message):
        check_destination(tmp_path / 'source.safetensors', tmp_path / dst, to)
    if error is FileExistsError:
        check_destination(tmp_path / 'source.safetensors', tmp_path / dst, to, force=True)
