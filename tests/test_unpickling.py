import builtins
import os
import pickle
import subprocess

import pytest
import torch

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.unpickling import load_torch, named_objects

WEIGHTS = {'norm.weight': torch.arange(3.0)}


class Call:
    """Pickled, it is a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def save(content, path, form):
    if form in ('zip', 'legacy'):
        torch.save(content, path, _use_new_zipfile_serialization=form == 'zip')
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(form)))


@pytest.mark.parametrize('form', ['zip', 'legacy', '0', '2', '4', '5'])
@pytest.mark.parametrize(
    ('function', 'name'),
    [
        (os.system, 'posix.system'),
        (subprocess.run, 'subprocess.run'),
        (builtins.exec, 'builtins.exec'),
        (torch.hub.load, 'torch.hub.load'),
    ],
)
def test_a_call_in_a_pickle_is_named_and_not_made(function, name, form, tmp_path):
    flag, path = tmp_path / 'flag', tmp_path / 'x.pth'
    content = dict(WEIGHTS, payload=Call(function, f'touch {flag}'), again=['a', 'a'])
    save(content, path, form)
    with pytest.raises(CheckpointMismatch, match=rf'x\.pth holds more than weights, {name}') as e:
        load_torch(path)
    assert 'weights_only' not in str(e.value) and '\n' not in str(e.value)
    assert e.value.__cause__ is None and e.value.__suppress_context__
    assert name in named_objects(path) and not flag.exists()


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.parametrize('mmap', [False, True])
def test_weights_are_loaded(form, mmap, tmp_path):
    save(dict(state_dict=WEIGHTS, epoch=3), tmp_path / 'x.pth', form)
    content = load_torch(tmp_path / 'x.pth', mmap=mmap)
    assert content['epoch'] == 3
    assert torch.equal(content['state_dict']['norm.weight'], WEIGHTS['norm.weight'])


@pytest.mark.parametrize('content', [b'', b'\x80', b'PK\x03\x04' + bytes(40), b'no pickle at all'])
def test_a_file_that_is_no_checkpoint_is_one_line_without_advice(content, tmp_path):
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=r'x\.pth is no readable checkpoint') as error:
        load_torch(tmp_path / 'x.pth')
    assert 'weights_only' not in str(error.value) and '\n' not in str(error.value)
