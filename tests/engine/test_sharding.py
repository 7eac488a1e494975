"""Weights, gradients and optimizer in parts: steps and files are those of a model that is whole."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmcv.cnn.bricks.transformer import FFN
from mmengine.config import Config
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from mmc2fmae.engine.failures import fixed_bytes
from mmc2fmae.engine.sharding import (
    divide_loaded,
    is_sharded,
    require_shardable,
    shard,
    whole_states,
    whole_tensor,
)
from tests.conftest import NOT_ONE_GPU
from tests.engine.test_launch import run


@pytest.fixture
def joined():
    """Be a process among processes, the only one."""
    store = distributed.HashStore()
    distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def build(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8), FFN(8, 16))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def divided(seed):
    model = build(seed)[0]
    shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    divide_loaded(optimizer)
    return model, optimizer


def step(model, optimizer):
    torch.manual_seed(7)
    optimizer.zero_grad()
    model(torch.randn(6, 4)).square().sum().backward()
    optimizer.step()


def close(found, expected):
    """Compare bits; where there is a GPU, it computes the parts, and the CPU the rest."""
    bound = 1e-4 if torch.cuda.is_available() else 0
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound, check_device=False)


def test_parts_start_from_whole_states_and_are_saved_as_such(joined):
    model, optimizer = build(0)
    step(model, optimizer)
    parts, partly = divided(1)  # other weights
    assert is_sharded(parts) and is_sharded(parts[2]) and not is_sharded(parts[1])
    parts.load_state_dict(model.state_dict())
    partly.load_state_dict(deepcopy(optimizer.state_dict()))  # torch would share the counts
    step(model, optimizer)
    step(parts, partly)
    with whole_states(parts, partly, keep=True):
        found, state = parts.state_dict(), partly.state_dict()
    expected = model.state_dict()
    assert list(found) == list(expected)
    assert all(type(value) is torch.Tensor for value in found.values())
    close(found, expected)
    again = build(2)[1]
    again.load_state_dict(state)  # an optimizer that is whole takes it
    for i, moments in optimizer.state_dict()['state'].items():
        close(state['state'][i], moments)
    weight = parts.state_dict()['1.weight']
    assert isinstance(weight, DTensor)  # and parts they are again
    close(whole_tensor(weight), expected['1.weight'])


def test_a_process_counts_the_bytes_that_it_keeps(joined, monkeypatch):
    model, optimizer = divided(0)
    runner = SimpleNamespace(model=model, optim_wrapper=SimpleNamespace(optimizer=optimizer))
    whole = fixed_bytes(runner)
    number = sum(p.numel() for p in model.parameters())
    assert whole == 16 * number
    # As if another process kept every other number.
    monkeypatch.setattr(DTensor, 'to_local', lambda self: self._local_tensor.flatten()[::2])
    assert 0.5 * whole <= fixed_bytes(runner) < 0.6 * whole


def test_a_process_that_does_not_save_keeps_nothing(joined):
    model, optimizer = divided(0)
    step(model, optimizer)
    with whole_states(model, optimizer, keep=False):
        assert isinstance(model.state_dict()['1.weight'], DTensor)
        assert not any(optimizer.state_dict()['state'].values())


def test_a_model_that_is_whole_is_left_alone():
    model, optimizer = build(0)
    with whole_states(model, optimizer, keep=True):
        assert not model._state_dict_hooks
    assert whole_tensor(3) == 3


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        (dict(custom_hooks=[dict(type='mmengine.EMAHook')]), 'EMAHook, which copies'),
        (dict(custom_hooks=[dict(type='PictureProbeHook')]), '--probe-pictures'),
        (dict(custom_hooks=[dict(type='NonFiniteGuardHook', replay=True)]), '--debug-nan'),
        (dict(compile=True), 'compile, which joins'),
        (dict(model=dict(compile=True)), 'compile, which joins'),
        (dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')), 'MMFullySharded'),
        (dict(runner_type='FlexibleRunner'), 'runner_type'),
        (dict(sync_bn='torch'), 'sync_bn'),
    ],
)
def test_what_needs_the_whole_model_is_refused(changes, told):
    base = dict(
        model=dict(type='C2FMAE'),
        custom_hooks=[dict(type='NonFiniteGuardHook')],
        model_wrapper_cfg=dict(type='MMDistributedDataParallel'),
    )
    require_shardable(Config(base), processes=2)
    with pytest.raises(ValueError, match=told):
        require_shardable(Config(base | changes), processes=2)


def test_one_process_has_nobody_to_divide_with(config_file, tmp_path):
    with pytest.raises(ValueError, match='--shard divides the weights among processes'):
        run(config_file, '--work-dir', tmp_path / 'run', '--shard')


@NOT_ONE_GPU
def test_two_processes_with_parts_go_on_as_one_does(config_file, tmp_path, python):
    keep = 'default_hooks.checkpoint.max_keep_ckpts=9'
    run(config_file, '--work-dir', tmp_path / 'one', '--cfg-options', keep)
    begun = tmp_path / 'one/epoch_1.pth'
    torchrun = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', '-m')
    words = ['mmc2fmae', 'train', config_file, '--launcher', 'pytorch', '--shard', '--batch-size']
    words += [2, '--resume', begun, '--work-dir', tmp_path / 'two']
    done = python(*torchrun, *map(str, words))
    assert done.returncode == 0, done.stderr[-2000:]
    assert '1/2 in each process' in done.stdout
    one, two = (torch.load(tmp_path / name / 'epoch_3.pth') for name in ('one', 'two'))
    assert list(one['state_dict']) == list(two['state_dict'])
    for name, value in one['state_dict'].items():
        if value.ndim > 1:  # Adam makes steps of rounding where a gradient is 0: biases of keys
            torch.testing.assert_close(two['state_dict'][name], value, rtol=0, atol=1e-4)
    for i, state in one['optimizer']['state'].items():  # which know the scale of gradients
        found = two['optimizer']['state'][i]['exp_avg']
        torch.testing.assert_close(found, state['exp_avg'], rtol=1e-3, atol=1e-5)
    # One process goes on where two were.
    (tmp_path / 'two/epoch_3.pth').unlink()
    saved = tmp_path / 'two/epoch_2.pth'
    config = tmp_path / 'two/tiny.py'  # which asks for parts
    assert run(config, '--resume', saved, '--batch-size', 4).iter == 9
