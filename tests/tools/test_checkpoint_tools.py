"""The tools around checkpoints as a user starts them."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmc2fmae.checkpoints import read_backbone
from tests.checkpoints.conftest import timm_vit

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def tool(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a tool with a command line; returns exit status, output and errors."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        status = 0
        try:
            runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        except SystemExit as end:
            status = end.code
        return (status, *capsys.readouterr())

    return run


def test_convert_prints_what_it_did_and_overwrites_only_by_force(tmp_path, tool):
    torch.save(dict(model=timm_vit().state_dict()), tmp_path / 'mae.pth')
    dst = tmp_path / 'vit.safetensors'
    command = ('convert_checkpoint', tmp_path / 'mae.pth', dst, '--to', 'timm')
    status, out, err = tool(*command, '--mean', 0.5, 0.5, 0.5, '--std', 0.5, 0.5, 0.5)
    assert status == 0, err
    assert 'filled: 30/30 tensors, 0.4 M parameters' in out
    assert "timm.create_model('vit_base_patch16_224', patch_size=8, embed_dim=128" in out
    assert 'read back and found the same' in out
    assert read_backbone(dst).preprocessing.mean == (0.5, 0.5, 0.5)
    status, _, err = tool(*command)
    assert status == 2
    assert err.startswith('tools/convert_checkpoint.py: error: ') and '--force' in err
    assert tool(*command, '--force')[0] == 0


def test_mean_without_std_is_an_error(tmp_path, tool):
    torch.save(timm_vit().state_dict(), tmp_path / 'x.pth')
    command = ('convert_checkpoint', tmp_path / 'x.pth', tmp_path / 'hf', '--to', 'huggingface')
    status, _, err = tool(*command, '--mean', 0.5, 0.5, 0.5)
    assert (status, err) == (
        2,
        'tools/convert_checkpoint.py: error: mean and std belong together: give both\n',
    )


def test_features_then_neighbours(tmp_path, tool):
    for split in ('train', 'val'):
        for i, name in enumerate(('dark', 'light')):
            path = tmp_path / split / name / 'a.png'
            path.parent.mkdir(parents=True)
            Image.new('RGB', (40, 40), (i * 200,) * 3).save(path)
    checkpoint = tmp_path / 'vit.pth'
    torch.save(timm_vit().state_dict(), checkpoint)
    here = ('--device', 'cpu', '--workers', 0)
    status, out, err = tool(
        'extract_features', checkpoint, tmp_path / 'val', tmp_path / 'out',
        '--tokens', 'cls', 'patches', '--blocks', 0, 1, *here,
    )  # fmt: skip
    assert status == 0, err
    assert f'{tmp_path}/out/patches_0.npy (2, 4, 4, 128)' in out
    assert np.load(tmp_path / 'out/cls_1.npy').shape == (2, 128)

    folders = ('--train', tmp_path / 'train', '--val', tmp_path / 'val')
    options = ('--k', 1, '--tokens', 'mean', *here)
    status, out, err = tool('eval_knn', checkpoint, *folders, *options)
    assert status == 0, err
    assert 'top-1 100.00 %' in out and 'k 1' in out and 'token mean' in out
    assert json.loads((tmp_path / 'vit.pth.knn.json').read_text())['top1'] == 100
