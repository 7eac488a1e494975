"""The command `mmc2fmae` as a user types it."""

import argparse
import os
import subprocess
import sys
from importlib import import_module

import pytest
from mmengine.config import DictAction

import mmc2fmae
from mmc2fmae import cli, compat
from mmc2fmae.cli import COMMANDS, main
from mmc2fmae.cli.parsing import KeyValues, Parser, parsers
from tests.conftest import ROOT, environment

HEAVY = "{'torch', 'mmengine', 'mmcv', 'mmpretrain', 'matplotlib'} & set(sys.modules)"


def test_every_tool_is_a_command_and_every_command_has_a_page_of_help():
    tools = {path.stem for path in (ROOT / 'tools').glob('*.py')}
    assert {c.tool for c in COMMANDS.values() if c.tool} == tools
    for name, command in COMMANDS.items():
        if command.tool:
            text = (ROOT / f'tools/{command.tool}.py').read_text()
            assert f"main(['{name}', " in text and f'`mmc2fmae {name}`' in text
    for each in parsers(cli.parser()):
        assert each.format_help()


def test_no_heavy_package_is_imported_for_the_help(python):
    start = "import sys; sys.argv = ['mmc2fmae']; from mmc2fmae import cli; "
    done = python('-c', f'{start} cli.parser(); print({HEAVY})')
    assert done.stdout == 'set()\n', done.stderr


@pytest.mark.parametrize(
    ('words', 'limit'),
    [
        (['-m', 'mmc2fmae', '--help'], 0.5),
        (['tools/train.py', '--help'], 1.5),
        (['-m', 'mmc2fmae', 'label', '--help'], 1.5),
        (['-m', 'mmc2fmae', 'train', 'nowhere.py'], 1.5),
    ],
)
def test_answers_come_at_once(python, words, limit):
    used = []
    for _ in range(3):
        before = os.times()
        done = python(*words)
        after = os.times()
        used.append(after[2] + after[3] - before[2] - before[3])  # of children
        assert done.returncode == (0 if '--help' in words else 2)
    assert min(used) < limit


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['trian'], "mmc2fmae: error: there is no command 'trian', did you mean train?"),
        (['train', 'x.py', '--wrok-dir', 'y'], '--wrok-dir, did you mean --work-dir?'),
        (['figures', 'atention'], 'did you mean attention?'),
        (['figures', 'pca', 'x', '--imags', 'y', '--images', 'a', '--out', 'o'], 'mean --images?'),
        (['train'], 'mmc2fmae train: error: the following arguments are required: config'),
        (['train', 'x.py', '--cfg-options', 'a'], "'a': expected KEY=VALUE"),
        (['train', 'mmc2fmae::pretrain/nowhere.py'], 'config mmc2fmae::pretrain/nowhere.py does'),
        (['test', 'nowhere.py', 'x.pth'], 'config nowhere.py does not exist'),
        (['robustness', 'mmc2fmae::mini/cls.py', 'x.pth', '--sets', 'no.py'], 'config no.py does'),
        (['show-run', 'x', '--config', 'no.py'], 'config no.py does not exist'),
        (['knn', 'no.pth', '--train', 'a', '--val', 'b'], 'a does not exist'),
        (['features', 'no.pth', 'a', 'b'], 'no.pth'),
        (['convert', 'no.pth', 'b.safetensors', '--to', 'timm'], 'no.pth'),
        (['figures', 'pca', 'no.pth', '--images', 'a', '--out', 'o'], 'no.pth'),
        (['check', 'nowhere'], 'folder nowhere/train does not exist'),
        (['browse', 'nowhere', 'o.png'], 'folder nowhere/train does not exist'),
        (['pack', 'verify', 'nowhere'], 'nowhere'),
        (['masks-to-coco', 'no', 'no', 'o.json'], 'no'),
        (['web', 'no.pth', '--port', '0'], 'no'),
        (['reproduce', 'plan', 'tabel1'], 'did you mean table1?'),
        (['configs', 'nothing-like-it'], 'no config holds'),
        (['features', 'vit.pth', '', 'out'], 'what follows vit.pth is empty: is a variable unset?'),
        (['train', 'mmc2fmae::mini/demo.py', '--data-root='], '--data-root is empty'),
        (['knn', 'vit.pth', '--train', '', '--val', 'v'], 'what follows --train is empty'),
        (['train', 'a.py', '--cfg-options', 'b.data_root='], "'b.data_root=': the value is empty"),
        (
            ['train', 'mmc2fmae::mini/demo.py', '--set', 'AdamW.lr='],
            'AdamW.lr=: the value is empty',
        ),
        (['scenes', 'out', '--size', '9'], 'SceneSpec.size: got 9'),
        (['label', 'nowhere', 'out'], 'nowhere is no folder of photographs'),
        (['show-predictions', 'no.py', 'a', 'b', 'c'], 'config no.py does not exist'),
        (['convert-data', 'ade20k', 'o', '--source', 'nowhere'], 'nowhere'),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code
    err = capsys.readouterr().err
    assert status == 2 and message in err
    assert 'Traceback' not in err
    assert [line for line in err.splitlines() if 'error: ' in line] == err.splitlines()[:1]


def test_debug_shows_the_traceback(capsys):
    assert main(['check', 'nowhere', '--debug']) == 2
    err = capsys.readouterr().err
    assert err.startswith('Traceback') and 'mmc2fmae check: error: ' in err.splitlines()[-1]


def test_what_is_unexpected_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr('mmc2fmae.cli.list_configs.run', lambda args: {}['bug'])
    with pytest.raises(KeyError):
        main(['configs'])


def test_an_interruption_is_one_line(monkeypatch, capsys):
    def stop(args):
        raise KeyboardInterrupt('nothing was written')

    monkeypatch.setattr('mmc2fmae.cli.list_configs.run', stop)
    assert main(['configs']) == 130
    assert capsys.readouterr().err == 'mmc2fmae configs: interrupted, nothing was written\n'


def test_every_process_of_a_distributed_run_says_its_own_error(monkeypatch, capsys):
    monkeypatch.setenv('WORLD_SIZE', '4')
    monkeypatch.setenv('RANK', '3')
    assert main(['train', 'nowhere.py']) == 2
    assert capsys.readouterr().err.startswith('mmc2fmae train: rank 3: error: config nowhere.py')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ("model = dict(type='C2FMAEE', _delete_=True)", 'KeyError: C2FMAEE is not in the '),
        ('model = dict(head=dict(colour=1))', "TypeError: .*unexpected keyword argument 'colour'"),
        ("train_dataloader = dict(dataset=dict(type='Nothing'))", 'KeyError: Nothing is not in'),
    ],
)
def test_a_config_that_cannot_be_built_is_one_line(tmp_path, capsys, change, message):
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmc2fmae::mini/demo.py'\n{change}\n")
    words = ['train', str(tmp_path / 'mine.py'), '--work-dir', str(tmp_path / 'run')]
    assert main(words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f'mmc2fmae train: error: config {tmp_path}/mine.py: {message[:8]}')


@pytest.mark.parametrize(
    'text',
    ['1', '1e-3', 'true', 'None', 'a', '1,2', '(1,2)', "['a', 'b']", '[(1,a),2]', 'x=y', "''"],
)
def test_values_are_read_as_mmengine_reads_them(text):
    found = []
    for kind, action in ((Parser, KeyValues), (argparse.ArgumentParser, DictAction)):
        parser = kind()
        parser.add_argument('--set', nargs='+', action=action)
        found.append(parser.parse_args(['--set', f'a.b={text}', '--set', 'c=1']).set)
    assert found[0] == found[1] and list(found[0]) == ['a.b', 'c']


@pytest.mark.parametrize(
    ('argv', 'original', 'expected'),
    [
        (['/venv/bin/mmc2fmae', 'train'], None, True),
        (['-m', 'train'], ['python', '-u', '-m', 'mmc2fmae', 'train'], True),
        (['-m'], ['python', '-m', 'mmc2fmae.env'], True),
        (['-m', '-m', 'mmc2fmae'], ['python', '-m', 'pytest', '-m', 'mmc2fmae'], False),
        ([f'{ROOT}/tools/train.py'], None, True),
        ([f'{ROOT}/tools/benchmarks/masking.py'], None, False),
        (['/elsewhere/tools/train.py'], None, False),
        (['train_mine.py'], None, False),
        (['-c'], None, False),
        ([''], None, False),
    ],
)
def test_only_its_own_command_line_imports_the_package_lightly(
    monkeypatch, argv, original, expected
):
    monkeypatch.setattr(sys, 'argv', argv)
    monkeypatch.setattr(sys, 'orig_argv', original or ['python', *argv])
    assert compat._is_command_line() is expected
    monkeypatch.setattr(compat.multiprocessing, 'parent_process', lambda: 'a parent')
    assert compat._is_command_line() is False


def test_a_tool_of_another_checkout_says_whose_package_runs(tmp_path, python):
    (tmp_path / 'mmc2fmae/cli').mkdir(parents=True)
    (tmp_path / 'tools').mkdir()
    tool = tmp_path / 'tools/make_scenes.py'
    tool.write_text((ROOT / 'tools/make_scenes.py').read_text())
    done = python(str(tool), str(tmp_path / 'out'), '--size', '9')
    assert done.returncode == 2
    assert f'{tool} runs with mmc2fmae {mmc2fmae.__version__} of {ROOT}/mmc2fmae' in done.stderr


def test_a_reader_that_closes_early_is_no_error(python):
    code = f'{sys.executable} -m mmc2fmae configs | head -n 1'
    done = subprocess.run(
        ['bash', '-c', code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith('mmc2fmae::') and done.stderr == ''


@pytest.mark.parametrize('command', ['test', 'show-predictions'])
@pytest.mark.parametrize('weights', [[], ['~/w.pth']])
@pytest.mark.parametrize('place', range(5))
def test_what_may_be_left_out_may_stand_apart_from_what_may_not(
    command, weights, place, monkeypatch
):
    """Python 3.10 to 3.12 take the first argument alone as soon as an option follows."""
    monkeypatch.setenv('HOME', '/home/me')
    option = ['--work-dir', '~/x'] if command == 'test' else ['--score', '0.5']
    words = ['~/run', *weights, *([] if command == 'test' else ['photos', 'out'])]
    words[place:place] = option
    parser = cli._fill(Parser(prog='p'), cli._module(COMMANDS[command]))
    args = parser.parse_args(words)
    assert args.config == '/home/me/run'
    assert args.checkpoint == ('/home/me/w.pth' if weights else None)
    assert args.work_dir == '/home/me/x' if command == 'test' else args.score == 0.5


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['test'], 'p: error: the following arguments are required: config'),
        (['test', 'a', 'b', 'c'], 'p: error: unrecognized arguments: c'),
        (['test', 'a', '--wrok-dir', 'x'], 'unrecognized arguments: --wrok-dir, did you mean --wo'),
        (['show-predictions', 'a', 'b'], 'required: '),
    ],
)
def test_a_command_whose_arguments_may_be_left_out_still_says_what_is_wrong(words, message, capsys):
    parser = cli._fill(Parser(prog='p'), cli._module(COMMANDS[words[0]]))
    with pytest.raises(SystemExit):
        parser.parse_args(words[1:])
    said = capsys.readouterr().err
    assert message in said and said.count('\n') == 1


@pytest.mark.parametrize(
    ('variables', 'said'),
    [
        ({}, ''),
        (dict(WORLD_SIZE='2', RANK='1'), 'rank 1: '),
        (dict(SLURM_NTASKS='4', SLURM_PROCID='3'), 'rank 3: '),
        (dict(SLURM_NTASKS='4'), ''),  # a shell of salloc
        (dict(WORLD_SIZE='4'), ''),  # what container platforms export
    ],
)
def test_errors_say_which_process_they_are_of(monkeypatch, variables, said):
    for name in ('WORLD_SIZE', 'RANK', 'SLURM_NTASKS', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli._rank() == said


def test_an_error_of_several_lines_becomes_one(monkeypatch, capsys):
    def run(args):
        raise ValueError('first:\n  second\n\n   third  word ')

    monkeypatch.setattr(import_module('mmc2fmae.cli.list_configs'), 'run', run)
    assert cli.main(['configs']) == 2
    assert capsys.readouterr().err.endswith('error: first: second third  word\n')
