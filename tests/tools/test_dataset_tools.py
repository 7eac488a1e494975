import json
import runpy
import sys
from pathlib import Path

import pytest

from mmc2fmae.preparation.layout import label_info
from tests.datasets.conftest import data_root  # noqa: F401  (fixture)

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def start(monkeypatch):
    """Run a tool; returns its exit status."""

    def run(tool: str, *arguments: object) -> int:
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        try:
            runpy.run_path(str(TOOLS / tool), run_name='__main__')
        except SystemExit as stop:
            return stop.code
        return 0

    return run


def test_the_exit_status_says_whether_there_are_defects(data_root, start, capfd):  # noqa: F811
    label_info(tuple('abcdefghi'), {}).write(data_root)
    assert start('check_dataset.py', data_root, '--rerank') == 0
    assert '6 photographs, no defects' in capfd.readouterr().out
    (data_root / 'semantic/train/n00000000/img_2.png').write_bytes(b'')
    assert start('check_dataset.py', data_root, '--rerank', '--out', data_root / 'x') == 1
    assert 'semantic/train/n00000000/img_2.png: empty file' in capfd.readouterr().out
    report = json.loads((data_root / 'x/report.json').read_text())
    assert report['settings']['classes'] == str(data_root / 'labels.json')
    assert report['usable'] == 5 and (data_root / 'x/report.html').exists()
    folders = ('--folders', 'rgb=train', 'instance=instance/train')
    assert start('check_dataset.py', data_root, '--rerank', *folders) == 0
    assert {p.name for p in data_root.glob('check_train/*')} == {
        'report.html', 'report.json', 'findings.txt', 'usable.txt',
    }  # fmt: skip


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--split', 'test'], 'does not exist'),
        (['--num-instances', 1], 'instance has 1 classes'),
        (['--ann-file', 'nowhere.txt'], 'nowhere.txt cannot be read'),
    ],
)
def test_wrong_usage_is_told_from_defects(data_root, start, capfd, options, message):  # noqa: F811
    assert start('check_dataset.py', data_root, *options) == 2
    assert message in capfd.readouterr().err


def test_sheets_show_the_photographs_that_were_asked_for(data_root, start, capfd):  # noqa: F811
    out = data_root / 'sheets'
    assert start('browse_dataset.py', data_root, out, '--number', 3, '--rows', 2) == 0
    assert sorted(p.name for p in out.iterdir()) == ['page_001.png', 'page_002.png']
    assert start('browse_dataset.py', data_root, out / 'a.png', '--worst', 1) == 0
    (data_root / 'list.txt').write_text('n00000000/img_0.JPEG\n')
    names = ('--names', data_root / 'list.txt')
    assert start('browse_dataset.py', data_root, out / 'b.png', *names) == 0
    assert (out / 'a.png').exists() and (out / 'b.png').exists()
    capfd.readouterr()
    for options, message in (
        (('--worst', 2, '--by', 'score'), 'no photograph has a score'),
        (('--names', 'nowhere.jpg'), '1 of 1 photographs do not exist, first'),
        (('--number', 0), 'expected a number above 0'),
    ):
        assert start('browse_dataset.py', data_root, out, *options) == 2
        assert message in capfd.readouterr().err
