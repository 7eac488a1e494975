"""Checkpoints are read as data, weights-only, and those of mmengine resume."""

import argparse
import pickle
import zipfile
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from safetensors.torch import save_file


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, mode='loss'):
        return {'loss': (self.weight * x).mean()}


def runner(folder: Path, epochs: int, resume: bool) -> Runner:
    return Runner(
        Line(),
        str(folder),
        train_dataloader={
            'dataset': [{'x': torch.ones(2)}] * 2,
            'sampler': {'type': DefaultSampler, 'shuffle': True},
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.1}},
        param_scheduler={'type': 'CosineAnnealingLR', 'T_max': 4, 'by_epoch': True},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
        resume=resume,
        default_scope='mmengine',
        experiment_name=f'{folder}-{epochs}',
    )


def test_a_checkpoint_of_a_runner_resumes(tmp_path):
    first = runner(tmp_path, epochs=1, resume=False)
    first.message_hub.update_info('best_score', np.float32(0.5))  # as mmseg's metrics leave it
    first.train()

    second = runner(tmp_path, epochs=2, resume=True)
    second.train()
    assert second.epoch == 2
    assert second.iter == 4
    assert second.message_hub.get_info('best_score') == 0.5
    losses, _ = second.message_hub.get_scalar('train/loss').data
    assert len(losses) == 4  # two of them read from the checkpoint


def test_the_history_reads_the_same_after_weights_only_loading(tmp_path):
    torch.save(
        {'args': argparse.Namespace(lr=1), 'h': HistoryBuffer([1, 3], [1, 1])}, tmp_path / 'f'
    )
    loaded = torch.load(tmp_path / 'f', weights_only=True)
    assert loaded['h'].mean() == loaded['h'].statistics('mean') == 2
    assert loaded['args'].lr == 1


@pytest.mark.parametrize('module', [b'numpy.core.multiarray', b'numpy._core.multiarray'])
def test_checkpoints_of_numpy_1_and_of_numpy_2_load(tmp_path, module):
    torch.save([np.float64(0.5), np.arange(3)], tmp_path / 'saved')
    with (
        zipfile.ZipFile(tmp_path / 'saved') as saved,
        zipfile.ZipFile(tmp_path / 'renamed', 'w') as renamed,
    ):
        for name in saved.namelist():
            content = saved.read(name).replace(b'numpy._core.multiarray', module)
            renamed.writestr(name, content.replace(b'numpy.core.multiarray', module))
    number, array = torch.load(tmp_path / 'renamed', weights_only=True)
    assert number == 0.5
    assert array.tolist() == [0, 1, 2]


@pytest.mark.parametrize('lookup', [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile')])
def test_a_checkpoint_cannot_look_up_anything_else(tmp_path, lookup):
    class Lookup:
        def __reduce__(self):
            return getattr, lookup

    torch.save(Lookup(), tmp_path / 'file')
    with pytest.raises(pickle.UnpicklingError, match='may not read'):
        torch.load(tmp_path / 'file', weights_only=True)


class Call:
    """Pickled, it is a call that leaves a file behind."""

    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return Path.touch, (self.flag,)


@pytest.fixture
def payload(tmp_path):
    """A checkpoint that would leave a file behind, and that file."""
    torch.save(dict(state_dict={}, payload=Call(tmp_path / 'flag')), tmp_path / 'x.pth')
    return tmp_path / 'x.pth', tmp_path / 'flag'


def test_mmengine_loads_weights_only_whatever_the_environment_says(payload, tmp_path, python):
    path, flag = payload
    code = (
        "import os; os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] = '1'\n"
        'from mmc2fmae import compat\n'
        'from mmengine.runner.checkpoint import _load_checkpoint\n'
        f"_load_checkpoint({str(path)!r}, 'cpu')"
    )
    run = python('-c', code)
    assert run.returncode == 1 and not flag.exists()
    last = run.stderr.splitlines()[-1]
    assert 'x.pth holds more than weights, pathlib.' in last and 'weights_only' not in run.stderr


def test_an_address_is_loaded_weights_only(payload, monkeypatch):
    path, flag = payload
    monkeypatch.setenv('TORCH_HOME', str(path.parent / 'cache'))
    with pytest.raises(pickle.UnpicklingError):
        mmengine.runner.checkpoint.load_url(path.as_uri())
    assert not flag.exists()


def test_code_that_resuming_would_run_is_taken_out(tmp_path):
    flag = tmp_path / 'flag'
    meta = dict(epoch=1, config=f'import pathlib; pathlib.Path({str(flag)!r}).touch()')
    torch.save(dict(meta=meta, state_dict={}), tmp_path / 'x.pth')
    loaded = mmengine.runner.checkpoint._load_checkpoint(str(tmp_path / 'x.pth'))
    assert loaded['meta'] == dict(epoch=1) and not flag.exists()


def test_safetensors_are_loaded_by_mmengine_too(tmp_path):
    save_file({'a': torch.ones(2)}, tmp_path / 'x.safetensors')
    loaded = mmengine.runner.checkpoint._load_checkpoint(str(tmp_path / 'x.safetensors'))
    assert torch.equal(loaded['state_dict']['a'], torch.ones(2))
