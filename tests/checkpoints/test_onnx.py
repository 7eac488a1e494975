"""Outputs of an ONNX file against the models of other houses and ours."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torchvision.transforms.functional import normalize

from mmc2fmae.checkpoints import onnx as exporter
from mmc2fmae.checkpoints.onnx import export_onnx
from mmc2fmae.checkpoints.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from mmc2fmae.cli import main
from mmc2fmae.errors import CheckpointMismatch
from tests.checkpoints.conftest import proxy_vit, randomise, timm_vit

onnx, runtime = (pytest.importorskip(name) for name in ('onnx', 'onnxruntime'))
IMAGES = torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(3)).float()


def compute(path: Path, images: torch.Tensor = IMAGES) -> dict[str, torch.Tensor]:
    session = runtime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {'images': images.numpy()})
    return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}


def test_logits_and_features_are_those_of_timm_for_any_batch(tmp_path):
    theirs = timm_vit(num_classes=5)
    torch.save(dict(model=theirs.state_dict()), tmp_path / 'vit.pth')
    report = export_onnx(tmp_path / 'vit.pth', tmp_path / 'vit.onnx')
    assert report.note == 'logits: head on the class token' and report.apart < 1e-5
    with torch.no_grad():
        prepared = normalize(IMAGES / 255, IMAGENET_MEAN, IMAGENET_STD)
        tokens, logits = theirs.forward_features(prepared), theirs(prepared)
    found = compute(tmp_path / 'vit.onnx')
    torch.testing.assert_close(found['logits'], logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found['cls'], tokens[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found['mean'], tokens[:, 1:].mean(dim=1), atol=1e-4, rtol=1e-4)
    patches = tokens[:, 1:].reshape(5, 4, 4, 128)
    torch.testing.assert_close(found['patches'], patches, atol=1e-4, rtol=1e-4)
    assert compute(tmp_path / 'vit.onnx', IMAGES[:1])['logits'].shape == (1, 5)


@pytest.fixture
def classifier(tmp_path) -> tuple[torch.nn.Module, Path]:
    arch = dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=256)
    spec = dict(
        type='ImageClassifier',
        backbone=dict(
            type='PlainViT', arch=arch, img_size=32, patch_size=8, out_type='avg_featmap',
            final_norm=False,
        ),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=128),
    )  # fmt: skip
    model = MODELS.build(spec)
    randomise(model)
    model.eval()
    config = Config(dict(model=spec)).pretty_text
    meta = dict(dataset_meta=dict(classes=('ant', 'bee', 'cat')), cfg=config)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    return model, tmp_path / 'epoch_1.pth'


def test_a_fine_tuned_classifier_keeps_its_logits_and_the_names_of_its_classes(classifier):
    model, path = classifier
    assert export_onnx(path, path.with_suffix('.onnx')).note == (
        'logits: head.fc on the mean over patches'
    )
    with torch.no_grad():
        logits = model(normalize(IMAGES / 255, IMAGENET_MEAN, IMAGENET_STD), mode='tensor')
    found = compute(path.with_suffix('.onnx'))['logits']
    torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)
    said = {p.key: p.value for p in onnx.load(path.with_suffix('.onnx')).metadata_props}
    assert said['classes'] == 'ant\nbee\ncat'
    assert said['input'].startswith('RGB in [0, 255], resized (bicubic) and cropped to 32 x 32')


def test_several_class_tokens_give_their_mean(tmp_path):
    vit = proxy_vit(4)
    weights = {f'backbone.{key}': value for key, value in vit.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'proxies.pth')
    report = export_onnx(tmp_path / 'proxies.pth', tmp_path / 'x.onnx')
    assert report.note == 'no logits: the checkpoint has no linear classifier'
    with torch.no_grad():
        (tokens,) = vit(normalize(IMAGES / 255, IMAGENET_MEAN, IMAGENET_STD))
    found = compute(tmp_path / 'x.onnx')
    assert set(found) == {'cls', 'mean', 'patches'}
    torch.testing.assert_close(found['cls'], tokens[:, :4].mean(dim=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found['mean'], tokens[:, 4:].mean(dim=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ('key', 'said'),
    [
        ('neck.norm.running_mean', r'more than a linear layer \(neck.norm.running_mean\)'),
        ('head.fc0.weight', r'more than a linear layer \(head.fc0.weight\)'),
    ],
)
def test_a_classifier_that_is_more_than_a_linear_layer_gives_features_and_says_so(
    classifier, key, said
):
    _, path = classifier
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['state_dict'][key] = torch.zeros(128)
    torch.save(checkpoint, path)
    head, note = exporter.find_head(path, pooled=True, dims=128)
    assert head is None
    assert re.search(said, note)


def test_a_run_that_classified_through_a_neck_gives_no_logits(classifier):
    _, path = classifier
    checkpoint = torch.load(path, weights_only=True)
    config = Config(dict(model=dict(backbone=dict(out_type='featmap'), neck=dict(type='GAP'))))
    checkpoint['meta']['cfg'] = config.pretty_text
    torch.save(checkpoint, path)
    assert exporter.find_head(path, True, 128) == (
        None,
        "no logits: its config classifies 'featmap' through the neck {'type': 'GAP'}",
    )


def test_outputs_that_differ_write_nothing(classifier, monkeypatch):
    _, path = classifier
    monkeypatch.setattr(exporter, 'TOLERANCE', 0.0)
    with pytest.raises(CheckpointMismatch, match='expected 0 at most; nothing was written'):
        export_onnx(path, path.with_suffix('.onnx'))
    assert not path.with_suffix('.onnx').exists()


def test_what_does_not_fit_into_one_file_is_refused(classifier, monkeypatch):
    _, path = classifier
    monkeypatch.setattr(exporter, 'LIMIT', 1000)
    with pytest.raises(CheckpointMismatch, match='an ONNX file holds less than 2'):
        export_onnx(path, path.with_suffix('.onnx'))


def test_without_the_extra_the_command_says_what_to_install(classifier, monkeypatch, capsys):
    _, path = classifier
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert main(['convert', str(path), str(path.with_suffix('.onnx')), '--to', 'onnx']) == 2
    assert "--to onnx needs onnxruntime: python -m pip install 'mmc2fmae[onnx]'" in (
        capsys.readouterr().err
    )


def test_the_command_lists_the_outputs(classifier, capsys):
    _, path = classifier
    out = path.with_suffix('.onnx')
    assert main(['convert', str(path), str(path.with_suffix('.bin')), '--to', 'onnx']) == 2
    assert 'a file for onnx ends in .onnx' in capsys.readouterr().err
    assert main(['convert', str(path), str(out), '--to', 'onnx']) == 0
    said = capsys.readouterr().out
    assert 'patches: (B, 4, 4, 128)\nlogits: (B, 3)\nlogits: head.fc on the mean' in said
    assert compute(out)['logits'].isfinite().all()
