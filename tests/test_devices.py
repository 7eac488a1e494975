import pytest
import torch

from mmc2fmae.devices import find_device

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')


def test_a_device_that_is_there_is_found():
    assert find_device('cpu') == torch.device('cpu')
    assert find_device().type == ('cuda' if torch.cuda.is_available() else 'cpu')


@pytest.mark.parametrize('name', ['gpu', 'cuda:x', '', 'cpu,cuda', 7.5])
def test_a_device_that_does_not_exist_is_refused(name):
    with pytest.raises(ValueError, match=r'^device .*: expected cpu, cuda or cuda:1$'):
        find_device(name)


@WITHOUT_GPU
@pytest.mark.parametrize('name', ['cuda', 'cuda:3'])
def test_a_gpu_that_is_not_there_is_refused_in_one_line(name):
    with pytest.raises(
        ValueError, match=f'^device {name!r}: it cannot be used .*has 0 GPUs'
    ) as said:
        find_device(name)
    assert '\n' not in str(said.value)


@pytest.mark.parametrize(
    ('name', 'process', 'gpus', 'expected'),
    [
        (None, None, 2, 'cuda:0'),
        ('cuda', '1', 2, 'cuda:1'),
        (None, '3', 2, 'cuda:1'),
        ('cuda', '1', 1, 'cuda:0'),  # CUDA_VISIBLE_DEVICES of Slurm shows each process its own
        ('cuda:0', '1', 2, 'cuda:0'),
        ('cpu', '1', 2, 'cpu'),
    ],
)
def test_processes_side_by_side_get_a_gpu_each(monkeypatch, name, process, gpus, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    monkeypatch.setattr(torch, 'empty', lambda *shape, device: None)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    if process is not None:
        monkeypatch.setenv('LOCAL_RANK', process)
    assert find_device(name) == torch.device(expected)
