"""The console of a tiny run: a table, progress and warnings; the log file holds everything."""

import warnings

from mmc2fmae.engine import console
from tests.conftest import ROOT
from tests.engine.test_finetune import RGB, SMALL, data  # noqa: F401  (fixture)
from tests.engine.test_launch import run

FOUR = ('--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=3')


def test_four_iterations_print_a_table_and_their_progress(config_file, tmp_path, capsys):
    runner = run(config_file, '--work-dir', tmp_path / 'run', *FOUR)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert sum('Epoch(train)' in line for line in lines) == 4
    rows = dict(line.strip().split('  ', 1) for line in lines if line.startswith('  '))
    rows = {name: value.strip() for name, value in rows.items()}
    count = sum(p.numel() for p in runner.model.parameters())
    assert rows == {
        'config': str(config_file),
        'model': f'C2FMAE, {count:,} parameters',
        'device': rows['device'],
        'train data': f'MultiGranularDataset, 12 samples in {tmp_path / "data"}',
        'batch': '1 process x 3 samples = 3',
        'learning rate': '0.001, AdamW',
        'length': '1 epochs of 4 iterations',
        'starts from': 'random weights',
        'checkpoints': str(tmp_path / 'run'),
        'full log': runner.logger.log_file,
    }
    # The rest: heading, no GPU, checkpoint.
    assert len(lines) <= 4 + len(rows) + 3
    with open(rows['full log']) as file:
        log = file.read()
    for text in ('System environment', 'Config:', 'Hooks will be executed', '"FileClient" will be'):
        assert text in log and text not in printed


def test_a_test_prints_its_own_table(data, tmp_path, capsys):  # noqa: F811
    options = ('--data-root', data, '--work-dir', tmp_path / 'run', '--cfg-options', *SMALL, *RGB)
    more = ('train_cfg.max_epochs=1', 'test_dataloader.num_workers=0')
    more = (*more, 'test_dataloader.persistent_workers=False', 'test_dataloader.batch_size=4')
    more = (*more, 'Accuracy.topk=(1,)', 'test_dataloader.dataset.classes=None')
    more = (*more, 'test_dataloader.dataset.expected=None')
    runner = run(ROOT / 'configs/cls/vitb_ft_100e.py', *options, *more)
    printed = capsys.readouterr().out
    assert 'val data       ImageFolders, 12 samples' in printed
    assert 'lr scale' not in printed  # the groups of layer-wise decay
    runner.test()
    printed = capsys.readouterr().out
    assert 'test data   ImageFolders, 12 samples' in printed
    assert 'Epoch(test)' in printed and 'Environment' not in printed


def test_warnings_that_matter_are_shown(config_file, tmp_path, capsys):
    (tmp_path / 'data/train/n0/img_00.JPEG').write_bytes(b'')
    skip = ('train_dataloader.dataset.on_error=skip', 'SkippedSamplesHook.max_share=0.5')
    run(config_file, '--work-dir', tmp_path / 'run', *FOUR, *skip)
    printed = capsys.readouterr().out
    assert 'WARNING - skipped unreadable sample' in printed and 'n0/img_00.JPEG' in printed


def test_notices_of_thread_counts_are_not_shown(config_file, tmp_path, monkeypatch):
    from mmengine.utils.dl_utils import setup_env

    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.delenv('MKL_NUM_THREADS', raising=False)
    original = setup_env.set_multi_processing
    distributed = lambda **options: original(**options | dict(distributed=True))  # noqa: E731
    monkeypatch.setattr('mmengine.runner.runner.set_multi_processing', distributed)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter('always')
        run(config_file, '--work-dir', tmp_path / 'run', *FOUR)
    assert not [w for w in shown if 'NUM_THREADS' in str(w.message)]


def test_only_the_first_process_speaks(capsys, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    console.say('hello')
    assert capsys.readouterr().out == ''
    monkeypatch.setenv('RANK', '0')
    console.say('hello')
    assert capsys.readouterr().out == 'hello\n'
