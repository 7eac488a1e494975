"""What ends a run from outside is one line, with what to change."""

import errno
import os
import subprocess
import sys

import pytest
import torch
from mmpretrain.registry import MODELS

from mmc2fmae.engine.failures import explain, fitting_batch, run_told
from mmc2fmae.engine.work_dirs import hold, let_go
from mmc2fmae.errors import RunStopped
from mmc2fmae.models import C2FMAE
from tests.conftest import environment
from tests.engine.test_launch import run

GIB = 2**30


@MODELS.register_module()
class HungryC2FMAE(C2FMAE):
    """Has no room for a second step."""

    calls = 0

    def loss(self, inputs, data_samples):
        self.calls += 1
        if self.calls > 1:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB.\nmore')
        return super().loss(inputs, data_samples)


@pytest.mark.parametrize(
    ('batch', 'fixed', 'peak', 'expected'),
    [
        (64, 10, 74, 62),  # each 1 GiB: 0.9 x 80 - 10
        (256, 10, 138, 124),  # each 0.5
        (8, 100, 101, 0),  # the model alone is too large
        (4, 1, 2, 3),  # never more than what did not fit
    ],
)
def test_the_batch_that_fits_is_estimated_from_the_measured_peak(batch, fixed, peak, expected):
    assert fitting_batch(batch, fixed * GIB, peak * GIB, 80 * GIB) == expected


def test_a_training_out_of_memory_says_what_to_set(config_file, tmp_path, monkeypatch):
    from mmc2fmae.engine import launch

    kept = []
    build = launch.build_runner
    monkeypatch.setattr(launch, 'build_runner', lambda cfg: kept.append(build(cfg)) or kept[0])
    with pytest.raises(torch.OutOfMemoryError) as stop:
        run(
            config_file, '--work-dir', tmp_path / 'run', 'PreflightHook.num_samples=1',
            '--cfg-options', 'model.type=HungryC2FMAE',
        )  # fmt: skip
    with pytest.raises(RunStopped, match='--batch-size 2 --total-batch 4') as told:
        run_told(lambda: kept[0], lambda runner: (_ for _ in ()).throw(stop.value))
    said = str(told.value)
    mixed = torch.cuda.is_available()  # by the config, and there is nothing left to advise
    assert 'batch of 4' in said and ('--amp' in said) != mixed and '\n' not in said


@pytest.mark.parametrize(
    'text',
    [
        '[pair.cc:545] gloo: Read error [127.0.0.1]:2744: Connection reset by peer',
        'Connection closed by peer [127.0.0.1]:7082',
        'NCCL error in: ProcessGroupNCCL.cpp:2, unhandled system error',
        'Gloo connectFullMesh failed with timed out connecting',
    ],
)
def test_a_lost_process_is_told_in_a_line(text):
    told = explain(RuntimeError(f'{text}\nmore'), None)
    assert str(told).startswith('another process of the run is gone')
    assert '\n' not in str(told)


def test_what_stops_a_data_worker_is_told_without_its_traceback():
    said = (
        'Caught RunStopped in DataLoader worker process 0.\nOriginal Traceback (most recent call '
        'last):\n  File "x.py"\nmmc2fmae.errors.RunStopped: 000001.tar is damaged: SHA-256 ...\n'
    )
    for text in (said, '000001.tar is damaged: SHA-256 ...'):
        assert str(explain(RunStopped(text), None)) == '000001.tar is damaged: SHA-256 ...'


def test_other_errors_stay_as_they_are():
    assert explain(RuntimeError('mat1 and mat2 shapes cannot be multiplied'), None) is None


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_or_read_only_disk_leaves_the_old_checkpoint(
    config_file, tmp_path, monkeypatch, number
):
    folder = tmp_path / 'run'
    run(config_file, '--work-dir', folder, '--cfg-options', 'train_cfg.max_epochs=3')
    (folder / 'epoch_3.pth').unlink()
    before = (folder / 'epoch_2.pth').read_bytes()

    def fail(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr('mmc2fmae.files.os.fsync', fail)
    with pytest.raises(OSError, match=rf'epoch_3.pth cannot be written \({os.strerror(number)}'):
        run(config_file, '--work-dir', folder, '--resume', '--cfg-options', 'custom_hooks=[]')
    assert (folder / 'epoch_2.pth').read_bytes() == before
    assert not list(folder.glob('*.tmp')) and not list(folder.glob('.*.tmp'))


class TestLock:
    """A folder in which a process trains is refused to others."""

    HOLD = 'from mmc2fmae.engine.work_dirs import hold; hold("{}"); print("held", flush=True)'

    def other(self, folder):
        code = self.HOLD.format(folder) + '; input()'
        return subprocess.Popen(
            [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip

    def test_the_holder_is_named_and_a_dead_one_holds_nothing(self, tmp_path):
        with self.other(tmp_path) as process:
            assert process.stdout.readline() == 'held\n'
            with pytest.raises(FileExistsError, match=rf'in use by process {process.pid} on'):
                hold(tmp_path)
            process.kill()
        hold(tmp_path)
        hold(tmp_path)  # a process may train twice
        let_go(tmp_path)

    def test_processes_of_one_run_share_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv('RANK', '1')
        hold(tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_compiled_here_is_one_line():
    def backend(graph, inputs):
        raise OSError('no compiler in /usr/bin')

    compiled = torch.compile(lambda x: x + 1, backend=backend)
    with pytest.raises(RunStopped, match=r'cannot compile the model here .*no compiler in /usr'):
        run_told(lambda: None, lambda _: compiled(torch.zeros(2)))
