import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mmc2fmae.preparation.layout import label_info, map_path, write_map

TOOL = Path(__file__).parents[2] / 'tools/pack_labels.py'


def start(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    try:
        runpy.run_path(str(TOOL), run_name='__main__')
    except SystemExit as stop:
        if stop.code:
            raise


def test_pack_verify_unpack(tmp_path, monkeypatch, capsys):
    for granularity in ('instance', 'semantic'):
        write_map(map_path(tmp_path / 'a', granularity, 'train', 'x.jpg'), np.ones((4, 5)))
    label_info(['sky', 'sea'], {}).write(tmp_path / 'a')
    start(monkeypatch, 'pack', tmp_path / 'a', tmp_path / 'pack')
    start(monkeypatch, 'verify', tmp_path / 'pack')
    start(monkeypatch, 'unpack', tmp_path / 'pack', tmp_path / 'b')
    printed = capsys.readouterr().out
    assert 'the maps of 1 photographs' in printed
    assert '3 files are whole' in printed
    assert '2 maps are there' in printed
    assert (tmp_path / 'b/semantic/train/x.png').exists()
    (tmp_path / 'pack/labels.json').write_text('{}')
    with pytest.raises(SystemExit) as stop:
        start(monkeypatch, 'verify', tmp_path / 'pack')
    assert stop.value.code == 2
    assert 'labels.json is damaged: SHA-256' in capsys.readouterr().err
