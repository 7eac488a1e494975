import runpy
import sys
from pathlib import Path

import pytest

from tests.datasets.conftest import data_root  # noqa: F401  (fixture)

TOOL = Path(__file__).parents[2] / 'tools/bundle_dataset.py'


def start(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name='__main__')
    return stop.value.code or 0


def test_write_and_verify(data_root, tmp_path, monkeypatch, capsys):  # noqa: F811
    out = tmp_path / 'out'
    folders = ('--folders', 'rgb=train', 'semantic=semantic/train')
    assert start(monkeypatch, 'write', data_root, out, *folders, '--per-shard', 4) == 0
    assert start(monkeypatch, 'verify', out / 'train') == 0
    printed = capsys.readouterr().out
    assert f'{out}/train: 2 shards of rgb, semantic' in printed
    assert f'mmc2fmae train CONFIG --data-root {out}' in printed
    assert f'{out}/train: 2 shards are whole' in printed
    assert start(monkeypatch, 'write', data_root, out, *folders) == 2
    assert 'holds a finished bundle' in capsys.readouterr().err
    assert start(monkeypatch, 'write', data_root, tmp_path / 'x', '--folders', 'masks') == 2
    assert '--folders masks: expected rgb=FOLDER and others' in capsys.readouterr().err
