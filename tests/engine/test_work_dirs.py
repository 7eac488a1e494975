"""A work dir belongs to one run, and a run has at least one batch."""

import pytest
import torch

from mmc2fmae.checkpoints.finding import find_checkpoint
from mmc2fmae.engine.work_dirs import claim
from mmc2fmae.errors import CheckpointMismatch, DatasetError
from tests.engine.test_launch import run


@pytest.fixture
def finished(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run')
    return tmp_path / 'run'


def test_a_new_run_does_not_start_among_the_checkpoints_of_another(finished, config_file):
    before = {path.name: path.read_bytes() for path in finished.glob('*.pth')}
    message = r'checkpoints of another run, the last is epoch_3\.pth: .*--resume.*--overwrite'
    with pytest.raises(FileExistsError, match=message):
        run(config_file, '--work-dir', finished)
    with pytest.raises(ValueError, match='--overwrite sets it aside'):
        run(config_file, '--work-dir', finished, '--resume', '--overwrite')
    assert {path.name: path.read_bytes() for path in finished.glob('*.pth')} == before
    options = ('--cfg-options', 'train_cfg.max_epochs=1')
    run(config_file, '--work-dir', finished, '--overwrite', *options)
    assert [path.name for path in finished.glob('*.pth')] == ['epoch_1.pth']
    assert {p.name: p.read_bytes() for p in (finished / 'earlier_1').glob('*.pth')} == before


def test_a_finished_run_says_so_and_stays_as_it_is(finished, config_file):
    before = (finished / 'epoch_3.pth').read_bytes()
    assert run(config_file, '--work-dir', finished, '--resume').iter == 9
    assert (finished / 'epoch_3.pth').read_bytes() == before
    logs = ''.join(path.read_text() for path in finished.glob('*/*.log'))
    assert 'is the end of a finished run, 3 of 3 epochs: nothing is left to train' in logs
    assert '--init-from' in logs


def test_the_checkpoint_that_was_written_last_is_resumed_from(finished):
    (finished / 'epoch_30.pth').write_bytes((finished / 'epoch_3.pth').read_bytes())
    assert find_checkpoint(finished).name == 'epoch_3.pth'
    (finished / 'epoch_3.pth').write_bytes(b'')  # truncated: the rest goes by number
    assert find_checkpoint(finished).name == 'epoch_30.pth'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['ProgressiveMasking.num_visible=4'], r'data: .*num_visible: 8.*num_visible: 4'),
        (['--cfg-options', 'model.head.norm_pix=False'], 'model: '),
    ],
)
def test_other_data_or_another_model_is_not_resumed(finished, config_file, options, message):
    with pytest.raises(ValueError, match=rf'as another run:(?s:.*){message}'):
        run(config_file, '--work-dir', finished, '--resume', *options)


def test_moved_photographs_are_resumed_with_but_fewer_are_not(finished, config_file, tmp_path):
    moved = (tmp_path / 'data').rename(tmp_path / 'moved')
    assert run(config_file, '--work-dir', finished, '--resume', '--data-root', moved).iter == 9
    next(moved.rglob('img_00.JPEG')).unlink()
    with pytest.raises(ValueError, match='photographs: 12 -> 11'):
        run(config_file, '--work-dir', finished, '--resume', '--data-root', moved)


@pytest.mark.parametrize('option', ['--resume', '--init-from'])
def test_weights_that_are_not_finite_are_refused_before_training(finished, config_file, option):
    path = finished / 'epoch_3.pth'
    content = torch.load(path, weights_only=False)
    content['state_dict']['backbone.cls_token'][..., 0] = float('nan')
    torch.save(content, path)
    where = finished if option == '--resume' else finished / 'new'
    with pytest.raises(CheckpointMismatch, match=r'epoch_3\.pth: backbone\.cls_token has 1 of'):
        run(config_file, '--work-dir', where, option, finished)  # the folder stands for it


@pytest.mark.parametrize('options', [['--total-batch', '32'], []])
def test_fewer_photographs_than_a_batch_are_said_before_the_start(config_file, tmp_path, options):
    message = (
        r'12 photographs on 1 process give each 12, fewer than a batch of 16, .*'
        r'train_dataloader\.batch_size=12 or less, or train_dataloader\.drop_last=False'
    )
    size = ('--cfg-options', 'train_dataloader.batch_size=16')
    with pytest.raises(DatasetError, match=message):
        run(config_file, '--work-dir', tmp_path / 'run', *options, *size)


def test_logs_without_checkpoints_are_set_aside(tmp_path, capsys):
    claim(tmp_path / 'new')
    log = tmp_path / '2026/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.touch()
    claim(tmp_path)
    assert (tmp_path / 'earlier_1/2026/vis_data/scalars.json').is_file()
    assert 'are set aside' in capsys.readouterr().out
