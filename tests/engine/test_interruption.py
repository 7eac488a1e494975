"""A training that is told to end saves where it stands and goes on there, to the bit."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader

from mmc2fmae.checkpoints.finding import latest_checkpoint
from mmc2fmae.engine import launch
from mmc2fmae.engine.interruption import Interruption, InterruptionHook
from mmc2fmae.engine.loops import skip_batches
from tests.conftest import ROOT, environment
from tests.engine.test_launch import run, weights


@HOOKS.register_module()
class SignalHook(Hook):
    """Sends the process a signal in an iteration."""

    def __init__(self, at, number):
        self.at, self.number = at, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def interruptible(monkeypatch):
    """Let runs take signals, as those of the command line do."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    build = launch.build_runner

    def with_hook(cfg):
        runner = build(cfg)
        runner.register_hook(InterruptionHook())
        return runner

    monkeypatch.setattr(launch, 'build_runner', with_hook)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupted(config, folder, at, number, *options):
    hook = f"[dict(type='SignalHook',at={at},number={int(number)})]"
    text = config.read_text()
    config.write_text(f'{text}\ncustom_hooks = _base_.custom_hooks + {hook}\n')
    try:
        with pytest.raises(Interruption, match='goes on from there') as told:
            run(config, '--work-dir', folder, *options)
    finally:
        config.write_text(text)
    return str(told.value)


@pytest.mark.parametrize(
    ('at', 'number', 'options'),
    [
        (3, signal.SIGUSR1, ['--workers', 1]),
        (5, signal.SIGTERM, []),  # the last of an epoch
        (3, signal.SIGTERM, ['--batch-size', 2, '--total-batch', 4]),
    ],
)
def test_an_epoch_goes_on_where_it_was_interrupted(
    config_file, tmp_path, interruptible, at, number, options
):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    run(config_file, '--work-dir', whole, *options)
    said = interrupted(config_file, cut, at, number, *options)
    passes = 2 if '--total-batch' in options else 1
    left = at // passes * passes + passes  # after a whole step
    assert f'{signal.Signals(number).name}: saved {cut}/iter_{left}.pth' in said
    assert latest_checkpoint(cut).name == f'iter_{left}.pth'
    run(config_file, '--work-dir', cut, '--resume', *options)
    expected, got = weights(whole), weights(cut)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert not list(cut.glob('iter_*.pth'))  # the next checkpoint takes its place


def test_a_second_interruption_replaces_the_first(config_file, tmp_path, interruptible):
    interrupted(config_file, tmp_path / 'cut', 1, signal.SIGTERM)
    interrupted(config_file, tmp_path / 'cut', 3, signal.SIGTERM, '--resume')
    names = sorted(path.name for path in (tmp_path / 'cut').glob('*.pth'))
    assert names == ['epoch_1.pth', 'iter_4.pth']


@pytest.mark.parametrize('workers', [0, 1])
def test_skipped_batches_are_those_of_one_pass(workers):
    loader = DataLoader(range(7), 2, num_workers=workers, persistent_workers=workers > 0)
    skip_batches(loader, 2)
    assert [batch.tolist() for batch in loader] == [[4, 5], [6]]
    assert len(loader) == 4
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6]]


def test_the_launcher_takes_the_signal_and_two_processes_leave_together(config_file, tmp_path):
    work_dir = tmp_path / 'run'
    command = [
        sys.executable, '-m', 'mmc2fmae.torchrun', '--nproc_per_node=2',
        '--master_port=29671', str(ROOT / 'tools/train.py'), str(config_file), '--launcher',
        'pytorch', '--work-dir', str(work_dir), '--batch-size', '1', '--epochs', '400',
    ]  # fmt: skip
    # nccl takes no two processes of one GPU.
    without_gpu = environment(CUDA_VISIBLE_DEVICES='')
    with subprocess.Popen(
        command, env=without_gpu, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        end = time.monotonic() + 120
        while not (work_dir / 'epoch_1.pth').exists() and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 75, out
    assert 'a signal to the launcher: saved' in out and 'Traceback' not in out
    saved = latest_checkpoint(work_dir)
    assert torch.load(saved)['meta']['iter'] == int(saved.stem.removeprefix('iter_'))
