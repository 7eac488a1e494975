"""Norm, rates and the wait for data in the log, with expectations computed beside it."""

import time

import pytest
import torch
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch.nn.utils import clip_grad_norm_

from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.engine.run_log import read_records
from mmc2fmae.engine.step_log import StepLogHook
from tests.engine.test_launch import run


class FakeRunner:
    """A runner of one parameter, which logs every second iteration."""

    def __init__(self, wrapper):
        self.optim_wrapper = wrapper
        self.hooks = [LoggerHook(interval=2)]
        self.train_dataloader = range(4)
        self.message_hub = MessageHub.get_instance(f'step_log_{id(self)}')
        self.iter = 0


def train(wrapper, weight, gradients):
    """Step through gradients; return what the hub has as norms."""
    runner, hook = FakeRunner(wrapper), StepLogHook()
    hook.before_train(runner)
    for i, gradient in enumerate(gradients):
        runner.message_hub.update_scalar('train/data_time', 0.1)
        runner.message_hub.update_scalar('train/time', 1.0)
        weight.grad = torch.tensor(gradient, dtype=torch.float)
        wrapper.step()
        hook.after_train_iter(runner, i)
        runner.iter += 1
    return runner.message_hub.log_scalars


def optimizer(**kwargs):
    weight = torch.nn.Parameter(torch.zeros(2))
    return OptimWrapper(torch.optim.AdamW([weight], lr=0.1, fused=True), **kwargs), weight


def test_norm_of_every_step_reaches_the_log():
    scalars = train(*optimizer(), [[3.0, 4], [0, 1], [6, 8], [0, 0]])
    assert scalars['train/grad_norm'].data[0].tolist() == [5, 1, 10, 0]
    assert scalars['train/data_wait'].data[0] == pytest.approx([10, 10])


def test_norm_that_is_clipped_is_logged_once_by_mmengine():
    wrapper, weight = optimizer(clip_grad=dict(max_norm=1.0))
    assert wrapper.clip_func is clip_grad_norm_
    runner, hook = FakeRunner(wrapper), StepLogHook()
    hook.before_train(runner)
    weight.grad = torch.ones(2)
    wrapper.step()
    assert hook.norms == []


def test_norm_is_that_of_the_unscaled_gradient():
    # As torch's scaler leaves it to a fused optimizer.
    wrapper, weight = optimizer()
    wrapper.optimizer.grad_scale = torch.tensor(8.0)
    wrapper.optimizer.found_inf = torch.tensor(0.0)
    scalars = train(wrapper, weight, [[24.0, 32], [0, 8]])
    assert scalars['train/grad_norm'].data[0].tolist() == [5, 1]


def test_an_overflow_that_the_scaler_skips_is_no_norm_but_the_scale_is_logged():
    wrapper, weight = optimizer()
    wrapper.loss_scaler = type(
        'Scaler', (), dict(is_enabled=lambda self: True, get_scale=lambda self: 4.0)
    )()
    scalars = train(wrapper, weight, [[float('inf'), 0], [3, 4]])
    assert scalars['train/grad_norm'].data[0].tolist() == [5]
    assert scalars['train/amp_scale'].current() == 4


def test_smallest_and_largest_rate_where_they_differ():
    first, second = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    groups = [dict(params=[first], lr=0.1), dict(params=[second], lr=0.3)]
    scalars = train(OptimWrapper(torch.optim.SGD(groups, lr=1.0)), first, [[0.0, 0]] * 2)
    assert scalars['train/min_lr'].current() == 0.1
    assert scalars['train/max_lr'].current() == 0.3


def test_every_line_of_a_run_has_the_numbers(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run')
    records = [r for r in read_records(tmp_path / 'run') if 'loss' in r]
    assert len(records) == 9
    wanted = {'grad_norm', 'data_wait', 'lr', 'images_per_s', 'memory', 'time', 'data_time'}
    assert all(wanted <= r.keys() for r in records)
    assert all(r['grad_norm'] > 0 and 0 <= r['data_wait'] <= 100 for r in records)
    said = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert all(' eta: ' in line for line in said.splitlines() if 'Epoch(train)' in line)


def test_slow_data_is_named_once_with_the_fix(config_file, tmp_path, monkeypatch):
    read = MultiGranularDataset.__getitem__

    def slowly(self, index):
        time.sleep(0.05)
        return read(self, index)

    monkeypatch.setattr(MultiGranularDataset, '__getitem__', slowly)
    monkeypatch.setattr('mmc2fmae.engine.step_log.SETTLED', 0.2)
    run(config_file, '--work-dir', tmp_path / 'run')
    said = next((tmp_path / 'run').glob('*/*.log')).read_text()
    (line,) = [line for line in said.splitlines() if 'spent waiting for data' in line]
    assert '--workers, now 0 a process' in line
