"""Commands of the project, started by the project."""

import pytest

from mmc2fmae.engine import tool_runs
from tests.conftest import ROOT


def test_a_command_runs_this_package_wherever_it_starts(tmp_path, monkeypatch, capfd):
    (tmp_path / 'mmc2fmae').mkdir()  # a checkout of another version in the current folder
    (tmp_path / 'mmc2fmae/__init__.py').write_text('raise SystemExit(9)')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('PYTHONPATH', raising=False)
    tool_runs.run_tool('configs', 'mini/demo', '--paths')
    out = capfd.readouterr().out
    assert '$ mmc2fmae configs mini/demo --paths' in out
    assert f'{ROOT}/configs/mini/demo.py' in out


def test_a_command_that_fails_ends_the_caller_with_its_status(capfd):
    with pytest.raises(SystemExit) as stop:
        tool_runs.run_tool('configs', 'nothing-like-it')
    assert stop.value.code == 2


def test_launchers_read_what_the_scripts_read(monkeypatch):
    monkeypatch.setenv('NNODES', '2')
    monkeypatch.setenv('PORT', '1234')
    monkeypatch.setenv('GPUS_PER_NODE', '4')
    monkeypatch.setenv('SRUN_ARGS', '-A me')
    torchrun = tool_runs.torchrun_command(8, 'train', 'x.py')
    assert {'--nnodes=2', '--master_port=1234', '--nproc_per_node=8'} <= set(torchrun)
    assert torchrun[-4:] == ['-m', 'mmc2fmae', 'train', 'x.py']
    srun = tool_runs.srun_command('gpu', 'job', 8, 'train', 'x.py')
    assert {'--gres=gpu:4', '--ntasks=8', '--ntasks-per-node=4', '-A', 'me'} <= set(srun)
