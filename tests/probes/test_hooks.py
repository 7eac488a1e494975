"""Whole runs on the tiny config with probes: the training notices nothing, the curves are there."""

import argparse
import json
import random
import re
from uuid import uuid4

import numpy as np
import pytest
import torch
from PIL import Image

from mmc2fmae.cli import main, run_options
from mmc2fmae.cli.parsing import Parser
from mmc2fmae.engine import launch
from mmc2fmae.engine.run_log import read_records
from mmc2fmae.engine.train_options import apply_train_options
from mmc2fmae.probes import apply_probes
from mmc2fmae.probes.features import Photographs, unchanged
from mmc2fmae.visualization import draw_run
from tests.conftest import NOT_ONE_GPU
from tests.probes.test_labelled import write

MAE = """
_base_ = ['{tiny}']
_base_.custom_hooks.append(dict(type='KeyedRandomnessHook'))
arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
model = dict(
    _delete_=True,
    type='MAE',
    data_preprocessor=dict(type='RgbPreprocessor'),
    backbone=dict(type='MAEViT', arch=arch, img_size=32, patch_size=8, mask_ratio=0.75),
    neck=dict(
        type='MAEPretrainDecoder', num_patches=16, patch_size=8, embed_dim=24,
        decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2,
    ),
    head=dict(
        type='MAEPretrainHead', norm_pix=True, patch_size=8,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
)
steps = [
    dict(type='LoadMultiGranular'),
    dict(type='JointRandomResizedCrop', size=32),
    dict(type='PackMultiGranular'),
]
train_dataloader = dict(
    dataset=dict(data_prefix=dict(rgb='train'), pipeline=steps)
)
"""
MULTIMAE = """
_base_ = ['{tiny}']
model = dict(
    type='MultiMAE',
    backbone=dict(final_norm=False),
    neck=dict(type='MultiMAEDecoder'),
    head=dict(type='MultiMAEHead'),
)
"""
SEMANTICMIM = """
_base_ = ['{tiny}']
arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
model = dict(
    _delete_=True,
    type='SemanticMIM',
    backbone=dict(type='ProxyViT', arch=arch, img_size=32, patch_size=8, proxies=2),
    target_generator=dict(type='HOGTarget', pool=4, gaussian_window=8),
)
steps = [
    dict(type='LoadMultiGranular'),
    dict(type='JointRandomResizedCrop', size=32),
    dict(
        type='ProgressiveMasking', patch_size=8, num_visible=8, curriculum='RD',
        granularities=['rgb'],
    ),
    dict(type='PackMultiGranular'),
]
train_dataloader = dict(
    dataset=dict(data_prefix=dict(rgb='train'), pipeline=steps)
)
"""
MODELS = dict(C2FMAE='', MAE=MAE, MultiMAE=MULTIMAE, SemanticMIM=SEMANTICMIM)


@pytest.fixture
def labelled(tmp_path):
    """Write 42 photographs in two classes that differ in colour."""
    root = write(tmp_path / 'labelled', dark=21, light=21)
    for i, path in enumerate(sorted(root.rglob('*.png'))):
        noise = np.random.default_rng(i).integers(0, 90, (40, 48, 3))
        Image.fromarray((noise + 150 * (path.parent.name == 'light')).astype(np.uint8)).save(path)
    return root


def run(config, work_dir, *options):
    """Train as ``mmc2fmae train`` does and return the runner."""
    parser = argparse.ArgumentParser()
    run_options.add_common_arguments(parser)
    run_options.add_train_arguments(parser)
    words = [str(config), '--work-dir', str(work_dir), *map(str, options)]
    args = parser.parse_args(words)
    cfg = launch.load_config(args)
    apply_probes(cfg, args)
    apply_train_options(cfg, args)
    cfg.experiment_name = uuid4().hex
    for hook in cfg.custom_hooks:
        if hook['type'] == 'PictureProbeHook':
            hook['number'] = 1
    runner = launch.build_runner(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize('name', MODELS)
def test_a_run_with_probes_ends_with_the_same_bits(name, config_file, labelled, tmp_path):
    config = config_file
    if MODELS[name]:
        config = tmp_path / 'other.py'
        config.write_text(MODELS[name].replace('{tiny}', str(config_file)))
    options = ['--probe-health', '--probe-knn', labelled, '--probe-every', '0.5']
    options += [] if name == 'SemanticMIM' else ['--probe-pictures']
    plain = run(config, tmp_path / 'plain')
    states = random.random(), np.random.rand(), torch.rand(1)
    probed = run(config, tmp_path / 'probed', *options)
    assert (random.random(), np.random.rand(), torch.rand(1)) == states
    before, after = plain.model.state_dict(), probed.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    losses = [
        [r['loss'] for r in read_records(tmp_path / part) if 'loss' in r]
        for part in ('plain', 'probed')
    ]
    assert len(losses[0]) == 9
    assert losses[0] == losses[1]

    records = [r for r in read_records(tmp_path / 'probed') if 'probe/rankme' in r]
    assert [r['iter'] for r in records] == [r['step'] for r in records] == [0, 2, 3, 5, 6, 8, 9]
    assert all(1 <= r['probe/effective_rank'] <= r['probe/rankme'] <= 24 for r in records)
    knn = [r['probe/knn_top1'] for r in read_records(tmp_path / 'probed') if 'probe/knn_top1' in r]
    assert len(knn) == 7
    assert knn[0] == 100  # dark and light are told apart even by random weights
    pictures = sorted((tmp_path / 'probed').glob('*/vis_data/vis_image/reconstructions_*.png'))
    assert len(pictures) == (0 if name == 'SemanticMIM' else 7)
    said = next((tmp_path / 'probed').glob('*/*.log')).read_text()
    assert re.search(r'probe k-NN, epoch 3\.00: top-1 .* \(chance 50\.0 %\)', said)
    assert re.search(r'probe health: 7 times, .* % of the time', said)


def test_curves_of_probes_are_drawn_with_the_run(config_file, tmp_path):
    run(config_file, tmp_path / 'run', '--probe-health')
    widths = []
    for folder in ('run', 'plain'):
        if folder == 'plain':
            run(config_file, tmp_path / 'plain')
        path = draw_run(tmp_path / folder, tmp_path / f'{folder}.png', num_samples=1)
        with Image.open(path) as picture:
            widths.append(np.asarray(picture.convert('L')).mean())
    assert widths[0] != widths[1]


def test_features_are_those_of_the_plain_vit(config_file, labelled, tmp_path):
    from mmc2fmae.checkpoints import build_backbone
    from mmc2fmae.evaluation.features import FeatureOptions, compute_features

    runner = run(config_file, tmp_path / 'run')
    paths = sorted(labelled.rglob('*.png'))[:5]
    with unchanged(runner.model):
        found = torch.cat([t for t, _ in Photographs(paths, runner.model).tokens(runner.model)])
    vit, preprocessing = build_backbone(tmp_path / 'run')
    options = FeatureOptions(tokens=('patches',), workers=0)
    (expected,) = compute_features(vit, preprocessing, paths, options).values()
    torch.testing.assert_close(found.cpu(), expected.flatten(1, 2), rtol=0, atol=1e-6)


def test_a_training_that_passes_over_broken_photographs_is_probed_too(config_file, tmp_path):
    broken = sorted((tmp_path / 'data/train').rglob('*.JPEG'))[3]
    options = ['--probe-health', '--cfg-options', 'train_dataloader.dataset.on_error=skip']
    broken.write_bytes(broken.read_bytes()[:200])
    run(config_file, tmp_path / 'run', *options, '+custom_hooks.3.max_share=0.5')
    assert [r for r in read_records(tmp_path / 'run') if 'probe/rankme' in r]


@NOT_ONE_GPU
def test_two_processes_measure_what_one_measures(config_file, labelled, tmp_path, python):
    options = ['--probe-health', labelled, '--probe-knn', labelled, '--probe-pictures']
    run(config_file, tmp_path / 'one', *options)
    torchrun = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', '-m')
    words = ['mmc2fmae', 'train', config_file, '--launcher', 'pytorch', '--work-dir']
    done = python(*torchrun, *map(str, [*words, tmp_path / 'two', '--batch-size', 2, *options]))
    assert done.returncode == 0, done.stderr[-2000:]
    first = []
    for part in ('one', 'two'):
        records = [r for r in read_records(tmp_path / part) if r.get('iter') == 0]
        first.append({k: v for r in records for k, v in r.items() if k.startswith('probe/')})
    assert first[0] == pytest.approx(first[1], rel=1e-5)
    assert len(first[0]) == 7
    records = [r['iter'] for r in read_records(tmp_path / 'two') if 'probe/rankme' in r]
    assert records[-1] == 9
    assert len(list((tmp_path / 'two').glob('*/vis_data/vis_image/*.png'))) >= 2


def test_modes_and_parts_of_a_model_are_as_before_also_after_an_error():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(2)).train()
    model[1].eval()
    model.autoencode = compiled = object()

    def probe():
        with unchanged(model):
            assert not any(module.training for module in model.modules())
            assert not hasattr(model, 'autoencode')
            raise RuntimeError

    with pytest.raises(RuntimeError):
        probe()
    assert [module.training for module in model.modules()] == [True, True, False]
    assert model.autoencode is compiled


def test_collapse_is_said_when_it_begins_and_at_the_end_with_its_likely_causes(
    config_file, tmp_path, monkeypatch
):
    monkeypatch.setattr('mmc2fmae.probes.diagnosis.LEAST_RANK', 2.0)  # more than there can be
    run(config_file, tmp_path / 'run', '--probe-health', '--probe-every', '1')
    said = next((tmp_path / 'run').glob('*/*.log')).read_text()
    line, _ = [line for line in said.splitlines() if 'the features collapse' in line]
    assert 'expected 48.0 or more of 24' in line
    assert 'learning rate too high (it is 0.001 at most: try --lr 0.0001)' in line


class TestBadInput:
    """Everything here is refused before the first step, in one line."""

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (['--probe-every', '1'], 'no probe is asked for'),
            (['--probe-health', '--probe-every', '0'], "--probe-every: '0': expected a number"),
            (['--probe-health', '--probe-every', '-1'], "--probe-every: '-1': expected a number"),
            (['--probe-health', '--probe-every', 'nan'], "--probe-every: 'nan': expected a number"),
            (['--probe-health', '--probe-every', 'x'], "'x': expected a number"),
            (['--probe-health', '/gone'], '/gone does not exist'),
            (['--probe-health', '{empty}'], 'holds no images'),
            (['--probe-health', '{one}'], 'holds 1 photographs, expected 2 or more'),
            (['--probe-knn', '/gone'], '--probe-knn /gone is no folder'),
            (['--probe-knn', '{empty}'], 'has no class folders'),
            (['--probe-knn', '{few}'], '20 voters or more'),
            (['--probe-knn'], 'expected one argument'),
            (['--probe-knn', '{broken}'], 'is no readable image'),
            (['--probe-health', '{broken}'], 'is no readable image'),
        ],
    )
    def test_option(self, options, message, config_file, tmp_path, capsys):
        (tmp_path / 'empty').mkdir()
        write(tmp_path / 'few', a=2, b=1)
        write(tmp_path / 'one', a=1)
        for path in list(write(tmp_path / 'broken', a=30, b=30).rglob('5.png')):
            path.write_bytes(b'no image')
        words = [word.replace('{', f'{tmp_path}/').replace('}', '') for word in options]
        try:
            code = main(['train', str(config_file), '--work-dir', str(tmp_path / 'run'), *words])
        except SystemExit as left:
            code = left.code
        assert code == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.strip().count('\n') == 0
        assert not list((tmp_path / 'run').glob('*.pth'))

    def test_probes_of_a_fine_tuning(self, capsys, tmp_path):
        words = ['train', 'configs/mini/cls.py', '--work-dir', str(tmp_path), '--probe-health']
        assert main(words) == 2
        assert 'this config trains a ImageClassifier' in capsys.readouterr().err

    def test_pictures_of_what_predicts_no_pixels(self, config_file, tmp_path, capsys):
        config = tmp_path / 'other.py'
        config.write_text(SEMANTICMIM.replace('{tiny}', str(config_file)))
        words = ['train', str(config), '--work-dir', str(tmp_path / 'run'), '--probe-pictures']
        assert main(words) == 2
        assert 'a SemanticMIM predicts no pixels' in capsys.readouterr().err


def test_a_probe_that_is_asked_for_replaces_its_kind_and_their_distance_is_that_of_all(
    config_file, labelled
):
    parser = Parser()
    run_options.add_common_arguments(parser)
    run_options.add_train_arguments(parser)

    def probes(*options):
        args = parser.parse_args([str(config_file), *options])
        apply_probes(cfg, args)
        return [(h['type'], h['every']) for h in cfg.custom_hooks if 'Probe' in h['type']]

    cfg = launch.load_config(parser.parse_args([str(config_file)]))
    before = json.dumps(cfg.custom_hooks)
    both = probes('--probe-health', '--probe-knn', str(labelled))
    assert both == [('HealthProbeHook', None), ('KnnProbeHook', None)]
    assert [h['max_share'] for h in cfg.custom_hooks if 'Probe' in h['type']] == [0.025, 0.025]
    assert probes('--probe-health') == [('KnnProbeHook', None), ('HealthProbeHook', None)]
    assert [h['folder'] for h in cfg.custom_hooks if h['type'] == 'HealthProbeHook'] == ['']
    assert cfg.custom_imports['imports'] == ['mmc2fmae', 'mmc2fmae.probes']
    assert probes('--probe-every', '2') == [('KnnProbeHook', 2.0), ('HealthProbeHook', 2.0)]
    args = parser.parse_args([str(config_file), '--probe-health'])
    args.probe_health = True  # from Python
    apply_probes(cfg, args)
    assert [h['folder'] for h in cfg.custom_hooks if h['type'] == 'HealthProbeHook'] == ['']
    args = parser.parse_args([str(config_file)])
    assert json.dumps(launch.load_config(args).custom_hooks) == before
