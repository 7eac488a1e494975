"""The command-line tools as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tests.engine.conftest import config_file  # noqa: F401  (fixture)


def start(*command: object, **changes: str) -> subprocess.CompletedProcess:
    """Run a command in the checkout with the test's Python."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment(PYTHON=sys.executable, **changes),
        capture_output=True,
        text=True,
    )


def losses(work_dir: Path) -> list[float]:
    """Return the logged losses of a run."""
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line)['loss'] for line in log.read_text().splitlines()]


def test_two_processes_train_as_one_of_the_same_total_batch(
    config_file,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')  # nccl takes no two processes of one GPU
    one = start(sys.executable, 'tools/train.py', config_file, '--work-dir', tmp_path / 'one')
    assert one.returncode == 0, one.stderr
    options = ('--work-dir', tmp_path / 'two', '--cfg-options', 'train_dataloader.batch_size=2')
    two = start('bash', 'tools/dist_train.sh', config_file, 2, *options, PORT='29617')
    assert two.returncode == 0, two.stderr
    # Nine updates on: only equal gradients, from both halves of every batch, give equal losses.
    assert losses(tmp_path / 'two') == pytest.approx(losses(tmp_path / 'one'), rel=1e-4)
    assert len(losses(tmp_path / 'two')) == 9


@pytest.mark.parametrize('tool', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_launchers_print_their_usage(tool):
    result = start('bash', f'tools/{tool}.sh')
    assert result.returncode == 2
    assert f'Usage: tools/{tool}.sh' in result.stdout


def test_slurm_launcher_asks_for_the_gpus(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    result = start(
        'bash', 'tools/slurm_train.sh', 'part', 'job', 'cfg.py', 16, '--resume',
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
    )  # fmt: skip
    words = result.stdout.split()
    assert {'--ntasks=16', '--gres=gpu:8', '--ntasks-per-node=8', '--resume'} <= set(words)
    assert words[words.index('--launcher') + 1] == 'slurm'


def test_testing_a_pretraining_says_where_to_look(config_file):  # noqa: F811
    result = start(sys.executable, 'tools/test.py', config_file, 'epoch_3.pth')
    assert result.returncode == 2
    assert 'tools/visualize_run.py' in result.stderr
