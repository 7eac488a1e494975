"""Commands of the pages that take a second do what their page says, started as written there."""

import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch

from mmc2fmae.preparation.layout import label_info
from tests.checkpoints.conftest import timm_vit
from tests.docs.pages import ROOT, read_page

# Page, command, words that make it small, what it leaves. In this order: a command uses what those
# before it left.
RUNS = [
    (
        'data.md',
        'python tools/make_scenes.py data/scenes',
        '--train 12 --val 4 --workers 1 --quiet',
        'data/scenes/meta.json',
    ),
    (
        'check_data.md',
        'python tools/check_dataset.py data/imagenet',
        '--workers 1',
        'data/imagenet/check_train/report.html',
    ),
    ('check_data.md', 'python tools/browse_dataset.py data/imagenet sheet.png', '', 'sheet.png'),
    (
        'share_labels.md',
        'python tools/pack_labels.py pack data/my_maps my_pack',
        '',
        'my_pack/SHA256SUMS',
    ),
    ('share_labels.md', 'python tools/pack_labels.py verify my_pack', '', 'my_pack'),
    (
        'checkpoints.md',
        'python tools/convert_checkpoint.py SRC vit.safetensors --to timm',
        '',
        'vit.safetensors',
    ),
    (
        'features.md',
        'python tools/extract_features.py CHECKPOINT photos/ features/ --tokens cls mean',
        '--device cpu --workers 0',
        'features/features.json',
    ),
    (
        'figures.md',
        'python tools/figures.py curriculum SG-IG-RD RD-IG-SG --epochs 400 --out fig3',
        '',
        'fig3.pdf',
    ),
]


@pytest.fixture(scope='module')
def desk(tmp_path_factory) -> Path:
    """Make a folder in which the names of the pages stand for small things."""
    folder = tmp_path_factory.mktemp('desk')
    (folder / 'data/my_maps').mkdir(parents=True)
    label_info(tuple(f'class {number}' for number in range(20)), {}).write(folder / 'data/my_maps')
    for part in ('train', 'instance', 'semantic'):
        (folder / 'data/my_maps' / part).symlink_to(f'../scenes/{part}')
    (folder / 'data/imagenet').symlink_to('scenes')
    (folder / 'photos').symlink_to('data/scenes/val')
    for name in ('SRC', 'CHECKPOINT'):
        torch.save(dict(model=timm_vit().state_dict()), folder / name)
    return folder


def test_short_commands_run_as_written(desk, monkeypatch, capfd):
    monkeypatch.chdir(desk)
    for page, command, small, left in RUNS:
        lines = read_page(ROOT / 'docs' / page).fenced('bash')
        assert any(line.text.split('  ')[0] == command for line in lines), f'{page}: {command}'
        _, script, *words = shlex.split(f'{command} {small}')
        monkeypatch.setattr(sys, 'argv', [script, *words])
        status = 0
        try:
            runpy.run_path(str(ROOT / script), run_name='__main__')
        except SystemExit as end:
            status = end.code
        assert not status, f'{command}: {capfd.readouterr().err}'
        assert (desk / left).exists(), f'{command} left no {left}'
