import io
import os

import pytest
import torch

from mmc2fmae.checkpoints.finding import latest_checkpoint
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
