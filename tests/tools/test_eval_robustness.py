"""The robustness tool as a user starts it, and its ImageNet configs."""

import sys

import pytest
from mmengine.config import Config

from mmc2fmae.evaluation.robustness_sets import read_sets
from tests.evaluation.colours import paint, write_model
from tests.tools.test_tools import ROOT, start

CONFIGS = ROOT / 'configs/cls/robustness'


def test_tool_prints_the_table(tmp_path):
    config, checkpoint = write_model(tmp_path)
    paint(tmp_path / 'data/mine/red/1.png', 'red')
    (tmp_path / 'sets.py').write_text(
        "robustness = dict(sets=dict(mine=dict(kind='folder', protocol='mine@1', folder='mine', "
        "subset=['red'])))"
    )
    result = start(
        sys.executable, 'tools/eval_robustness.py', config, checkpoint, '--out', tmp_path / 'out',
        '--sets', tmp_path / 'sets.py', '--data-root', tmp_path / 'data', '--workers', 0,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert '| mine | mine@1   | top-1, 5 classes (%) | 100.00 ± 0.00 | 1 ' in result.stdout
    assert (tmp_path / 'out/robustness.md').is_file()


def test_launcher_prints_its_usage():
    result = start('bash', 'tools/dist_eval_robustness.sh')
    assert result.returncode == 2
    assert 'Usage: tools/dist_eval_robustness.sh CLS_CONFIG CHECKPOINT GPUS' in result.stdout


@pytest.mark.parametrize('name', ['imagenet', 'imagenet_on_the_fly'])
def test_imagenet_sets_are_those_of_table_iv(name):
    declared = Config.fromfile(CONFIGS / f'{name}.py').robustness
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    sets = {spec.name: spec for spec in read_sets(declared, pipeline, '/data')}
    assert list(sets) == ['imagenet-a', 'imagenet-r', 'imagenet-sketch', 'imagenet-c']
    assert [len(s.subset or s.classes) for s in sets.values()] == [200, 200, 1000, 1000]
    assert [s.images for s in sets.values()] == [7500, 30000, 50889, 50000]
    assert [len(s.cells) for s in sets.values()] == [1, 1, 1, 75]
    assert {*declared.score.top1, declared.score.corruptions} == set(sets)


def test_imagenet_c_is_never_resized():
    spec = Config.fromfile(CONFIGS / 'imagenet.py').robustness.sets['imagenet-c']
    assert [step['type'] for step in spec['pipeline']] == [
        'LoadImageFromFile', 'CenterCrop', 'PackInputs',
    ]  # fmt: skip


def test_the_two_kinds_of_corruption_have_protocols_of_their_own():
    one, other = (
        Config.fromfile(CONFIGS / f'{name}.py').robustness
        for name in ('imagenet', 'imagenet_on_the_fly')
    )
    assert one.score.protocol != other.score.protocol
    assert one.sets['imagenet-c'].protocol != other.sets['imagenet-c'].protocol
    assert other.sets['imagenet-c'].kind == 'on_the_fly'
    assert 'pipeline' not in other.sets['imagenet-c']
