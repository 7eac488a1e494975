"""The benchmarks run, at toy size: what they measure is read off their pages."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / 'tools/benchmarks'


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a benchmark and return what it writes as JSON."""

    def run(name, *arguments):
        made = tmp_path / 'made.json'
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments), '--json', str(made)])
        runpy.run_path(str(FOLDER / name), run_name='__main__')
        return json.loads(made.read_text())

    return run


def test_pipeline_compares_itself_with_bare_decoding(run, tmp_path, capsys):
    (tmp_path / 'photos').mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (240, 320, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'photos/{i}.jpg')
    found = run('data_pipeline.py', tmp_path / 'photos', '--rounds', 1)
    assert found['photographs'] == 2 and found['environment']['versions']['torch']
    (name,) = found['ratios']
    spent = found['us_an_image']
    assert found['ratios'][name]['median'] == pytest.approx(spent[name] / spent['this project'])
    assert set(found['ratios_of_the_bundle']) == {name, 'this project'}
    assert found['us_a_step']['LoadMultiGranular'] > 0 and 'images/s' in capsys.readouterr().out


def test_start_counts_all_samples(run, tmp_path):
    arguments = ('dataset_start.py', tmp_path / 'set', '--samples', 11, '--classes', 3)
    assert run(*arguments)['samples'] == run(*arguments)['samples'] == 11
    assert len(list((tmp_path / 'set/semantic/train').rglob('*.png'))) == 11
