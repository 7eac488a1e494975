"""An exported run is evaluated from its folder alone, to the same numbers."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from PIL import Image
from safetensors import safe_open

from mmc2fmae.checkpoints import build_backbone
from mmc2fmae.cli import main
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.sharing import export_run, last_validation, without_places
from tests.test_dense_configs import CONFIGS, run

SMALL = [
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=1',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.label_share=1.0',
    'val_dataloader.num_workers=0',
    'default_hooks.logger.interval=1',
]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory) -> Path:
    """A photograph of each of the ten classes that the config names."""
    root = tmp_path_factory.mktemp('data') / 'scenes'
    names = Config.fromfile(CONFIGS / 'mini/det.py').classes
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for name in names:
            (root / split / name).mkdir(parents=True)
            pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / name / 'a.png')
    return root


@pytest.fixture(scope='module')
def trained(tmp_path_factory, scenes) -> Path:
    folder = tmp_path_factory.mktemp('work') / 'my run'
    run(folder, 'mini/cls.py', scenes, SMALL)
    return folder


def test_the_folder_evaluates_to_the_numbers_of_its_card(trained, scenes, tmp_path, capsys):
    out = tmp_path / 'shared'
    assert main(['export-run', str(trained), str(out), '--license', 'apache-2.0']) == 0
    assert f'hf upload USER/NAME {out}' in capsys.readouterr().out
    shutil.move(trained, tmp_path / 'gone')  # the folder alone
    try:
        _, text, body = (out / 'README.md').read_text().split('---\n', 2)
        card = yaml.safe_load(text)
        assert card['license'] == 'apache-2.0' and card['pipeline_tag'] == 'image-classification'
        (result,) = card['model-index'][0]['results']
        assert result['dataset']['name'] == 'scenes'
        assert card['model-index'][0]['name'] == 'my run' and '# my run\n' in body
        options = ['--data-root', str(scenes), '--work-dir', str(tmp_path / 'test')]
        assert main(['test', str(out), *options]) == 0
        (found,) = (tmp_path / 'test').glob('*/2*.json')  # by its time
        measured = json.loads(found.read_text())['accuracy/top1']
        assert result['metrics'][0]['value'] == pytest.approx(measured)
    finally:
        shutil.move(tmp_path / 'gone', trained)


@pytest.mark.parametrize(
    ('name', 'told', 'measured'),
    [
        ('epoch_1', ': 1 epochs of 2 epochs, total batch', True),
        ('iter_1', ': 1 iterations of 2 epochs, total batch', False),  # within an epoch
        ('renamed', ': a training of 2 epochs, total batch', False),
    ],
)
def test_weights_from_the_middle_of_a_training_are_said_to_be_so(
    trained, tmp_path, name, told, measured
):
    run = shutil.copytree(trained, tmp_path / 'run')
    (run / 'epoch_2.pth').rename(run / f'{name}.pth')
    export_run(run / f'{name}.pth', tmp_path / 'out')
    card = (tmp_path / 'out/README.md').read_text()
    assert told in card
    # What other weights reached is left out.
    assert ('model-index' in card) == ('last validation' in card) == measured


def test_checksums_are_those_of_the_files_and_no_place_is_left(trained, tmp_path):
    out = export_run(trained, tmp_path / 'shared')
    lines = [line.split('  ') for line in (out / 'SHA256SUMS').read_text().splitlines()]
    assert {name for _, name in lines} >= {
        'README.md', 'config.py', 'curves.png', 'environment.json', 'model.safetensors',
    }  # fmt: skip
    for digest, name in lines:
        assert sha256((out / name).read_bytes()).hexdigest() == digest
    assert '/tmp' not in (out / 'config.py').read_text()
    assert (out / 'curves.png').stat().st_size > 5000
    with safe_open(out / 'model.safetensors', 'pt') as file:
        assert len(json.loads(file.metadata()['classes'])) >= 2
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    own = torch.load(trained / 'epoch_2.pth', weights_only=True)['state_dict']
    assert weights.keys() == own.keys()
    assert all(torch.equal(weights[key], own[key]) for key in own)
    assert build_backbone(out)[1].size == (64, 64)  # and as an encoder


def test_weights_that_do_not_fill_the_config_are_refused(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / 'run')
    checkpoint = torch.load(folder / 'epoch_2.pth', weights_only=True)
    del checkpoint['state_dict']['head.fc.bias']
    torch.save(checkpoint, folder / 'epoch_2.pth')
    with pytest.raises(CheckpointMismatch, match=r"1 tensors are missing \['head\.fc\.bias'\]"):
        export_run(folder, tmp_path / 'shared')
    assert not (tmp_path / 'shared').exists()


def test_a_folder_that_holds_something_is_not_written_to(trained, tmp_path, capsys):
    (tmp_path / 'notes.txt').touch()
    assert main(['export-run', str(trained), str(tmp_path)]) == 2
    assert f'{tmp_path} holds something' in capsys.readouterr().err
    assert main(['export-run', str(tmp_path / 'none'), str(tmp_path / 'out')]) == 2


def test_absolute_roots_keep_their_last_name_wherever_a_path_starts_with_them():
    cfg = Config(
        dict(
            work_dir='/home/me/run',
            load_from='/home/me/x.pth',
            model=dict(backbone=dict(init_cfg=dict(type='StrictPretrained', checkpoint='/y.pth'))),
            train_dataloader=dict(dataset=dict(data_root='/data/coco/', ann_file='a.json')),
            val_dataloader=dict(dataset=dict(data_root='/data/coco/ade')),
            val_evaluator=dict(ann_file='/data/coco/ann/b.json', other='/data/cocoa'),
            test_dataloader=dict(dataset=dict(data_root='data/own')),
            other=dict(data_root='s3://mine/photos'),
        )
    )
    found = without_places(cfg)
    assert found.train_dataloader.dataset.data_root == 'data/coco/'
    assert found.val_dataloader.dataset.data_root == 'data/ade'
    assert found.val_evaluator == dict(ann_file='data/coco/ann/b.json', other='/data/cocoa')
    assert found.test_dataloader.dataset.data_root == 'data/own'
    assert found.other.data_root == 'data/photos'
    assert found.model.backbone.init_cfg is None and found.load_from is None
    assert 'work_dir' not in found


def test_the_last_validation_counts_and_a_pretraining_has_none():
    log = [
        {'loss': 1.0, 'step': 1},
        {'mIoU': 10.0, 'time': 1.0, 'data_time': 0.1, 'step': 5},
        {'mIoU': 12.0, 'aAcc': 50.0, 'time': 1.0, 'step': 10},
        {'loss': 0.5, 'step': 11},
    ]
    assert last_validation(log) == {'mIoU': 12.0, 'aAcc': 50.0}
    assert last_validation(log[:1]) == {}
