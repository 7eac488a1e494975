import io
import os
from types import SimpleNamespace

import pytest
import torch

from mmc2fmae.checkpoints.finding import latest_checkpoint
from mmc2fmae.engine.checkpoint_hook import ChosenWeightsHook
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.files import write_atomically


def saved(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(value=torch.full((500,), value)), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize('failing', ['fsync', 'replace'])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / 'file'
    write_atomically(b'old', path)

    def fail(*args):
        raise OSError('No space left on device')

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match='No space left'):
        write_atomically(b'new and longer', path)
    assert path.read_bytes() == b'old'


def test_newest_checkpoint_goes_by_number(tmp_path):
    for epoch in (9, 10, 2):
        write_atomically(saved(epoch), tmp_path / f'epoch_{epoch}.pth')
    write_atomically(saved(0), tmp_path / 'best_99.pth')
    assert latest_checkpoint(tmp_path).name == 'epoch_10.pth'


@pytest.mark.parametrize('share', [0.0, 0.3, 0.99])
def test_a_truncated_checkpoint_is_never_picked_up(tmp_path, share):
    content = saved(1)
    write_atomically(content, tmp_path / 'epoch_1.pth')
    (tmp_path / 'epoch_2.pth').write_bytes(content[: int(len(content) * share)])
    assert latest_checkpoint(tmp_path).name == 'epoch_1.pth'


def test_no_checkpoint_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None


def averaged_checkpoint() -> dict:
    """What mmengine's EMAHook leaves: averaged weights as state_dict, raw ones beside them."""
    raw = {'module.w': torch.zeros(2), 'steps': torch.tensor(3)}
    return dict(
        state_dict=dict(w=torch.ones(2)), ema_state_dict=raw, meta=dict(mmengine_version='0.10.7')
    )


@pytest.mark.parametrize(('which', 'value'), [(None, 1.0), ('ema', 1.0), ('raw', 0.0)])
def test_the_weights_that_are_asked_for_are_tested(which, value):
    checkpoint = averaged_checkpoint()
    hook = ChosenWeightsHook(which)
    hook.after_load_checkpoint(SimpleNamespace(_load_from='x.pth'), checkpoint)
    assert checkpoint['state_dict']['w'].tolist() == [value] * 2
    assert set(checkpoint['state_dict']) == {'w'}


def test_weights_that_a_checkpoint_lacks_are_refused():
    checkpoint = dict(state_dict=dict(w=torch.ones(2)), meta={})
    runner = SimpleNamespace(_load_from='x.pth')
    ChosenWeightsHook().after_load_checkpoint(runner, checkpoint)
    with pytest.raises(CheckpointMismatch, match=r'x\.pth has one set of weights, raw ones'):
        ChosenWeightsHook('ema').after_load_checkpoint(runner, checkpoint)
