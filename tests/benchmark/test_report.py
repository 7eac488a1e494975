"""The acceptance benchmark at toy size: every part runs, and what fails is said."""

import json
import math

import pytest
import torch

from mmc2fmae.benchmark import report
from mmc2fmae.benchmark.parts import PARTS, Bench, Disagreement
from mmc2fmae.benchmark.scales import TOY
from mmc2fmae.cli import main


@pytest.fixture(scope='module')
def result() -> dict:
    bench = Bench(TOY, torch.device('cpu'), {}, lambda text: None)
    *_, last = report.run(bench, list(PARTS), 'a test')
    return last


def test_every_part_runs_at_toy_size(result):
    assert report.failed(result) == []
    assert list(result['parts']) == list(PARTS)
    assert all(part['rows'] for part in result['parts'].values())


def test_speed_and_share_of_the_peak_fit_together(result):
    peak = float(result['parts']['peak']['rows'][0]['value'].split()[0])
    rows = result['parts']['pretraining']['rows']
    assert [(r['what'], r['batch']) for r in rows][:3] == [('C2FMAE', 2), ('C2FMAE', 4), ('MAE', 2)]
    for row in rows:
        assert row['images/s'] == pytest.approx(1000 * row['batch'] / row['ms a step'])
        assert row['% of peak'] == pytest.approx(100 * row['TFLOP/s'] / peak, rel=1e-3)


def test_the_first_side_is_compared_with_itself_and_with_every_other(result):
    rows = result['parts']['comparison']['rows']
    names = ['C2FMAE', 'C2FMAE, compiled', 'MAE']
    assert [row['what'] for row in rows] == names
    assert rows[0]['C2FMAE takes'] == '1.000 of it (1.000 to 1.000)'


def test_precisions_are_within_their_bounds_of_fp32(result):
    rows = {row['what']: row for row in result['parts']['agreement']['rows']}
    assert rows['fp32, eager']['loss apart'] == 0
    assert 0 < rows['bf16, eager']['gradient apart'] < rows['bf16, eager']['bound']


def test_a_part_that_fails_is_recorded_and_the_others_go_on(monkeypatch, tmp_path):
    def broken(bench):
        """Break."""
        raise RuntimeError('no such kernel\nmore')

    def apart(bench):
        """Differ."""
        raise Disagreement('far', [{'what': 'a', 'loss': math.pi}])

    monkeypatch.setitem(PARTS, 'agreement', broken)
    monkeypatch.setitem(PARTS, 'features', apart)
    bench = Bench(TOY, torch.device('cpu'), {}, lambda text: None)
    *_, last = report.run(bench, ['agreement', 'features', 'neighbours'], 'a test')
    assert report.failed(last) == ['agreement: RuntimeError: no such kernel', 'features: far']
    page = report.write(last, tmp_path).read_text()
    assert '**Failed**: RuntimeError: no such kernel' in page
    assert '| a | 3.142 |' in page
    assert json.loads((tmp_path / 'gpu_cpu.json').read_text())['parts']['neighbours']['rows']


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_the_command_says_what_runs(capsys):
    assert main(['bench', 'gpu']) == 2
    assert '--toy runs every part small on the CPU' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--parts', 'pretrain'], "there is no part 'pretrain', did you mean pretraining?"),
        (['--mae', '.'], '--mae and --multimae are ViT-B: leave out --toy'),
    ],
)
def test_wrong_options_are_one_line(words, said, capsys):
    assert main(['bench', 'gpu', '--toy', *words]) == 2
    assert said in capsys.readouterr().err
