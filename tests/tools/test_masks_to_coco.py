import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).parents[2] / 'tools/masks_to_coco.py'


def start(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    try:
        runpy.run_path(str(TOOL), run_name='__main__')
    except SystemExit as stop:
        if stop.code:
            raise


def test_split_is_written_as_two_files(monkeypatch, tmp_path, capsys):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
        for i in range(5):
            Image.fromarray(np.ones((3, 4), np.uint8)).save(tmp_path / folder / f'{i}.png')
    folders = (tmp_path / 'images', tmp_path / 'masks', tmp_path / 'out.json')
    start(monkeypatch, *folders, '--val-share', 0.2, '--classes', 'cat')
    parts = {s: json.loads((tmp_path / f'out_{s}.json').read_text()) for s in ('train', 'val')}
    assert [len(part['images']) for part in parts.values()] == [4, 1]
    assert all(part['categories'] == [dict(id=1, name='cat')] for part in parts.values())
    assert not (tmp_path / 'out.json').exists()
    assert 'out_val.json: 1 images, 1 objects' in capsys.readouterr().out
    (tmp_path / 'masks/3.png').unlink()
    with pytest.raises(SystemExit) as stop:
        start(monkeypatch, *folders)
    assert stop.value.code == 2
    assert '1 of 5 photographs' in capsys.readouterr().err
