"""The table of a run says what will happen."""

import pytest

from tests.engine.test_console import FOUR
from tests.engine.test_launch import run


def test_the_table_says_what_a_run_starts_from_and_how_a_batch_is_made(
    config_file, tmp_path, capsys
):
    run(config_file, '--work-dir', tmp_path / 'a', *FOUR)
    start = tmp_path / 'a/epoch_1.pth'
    capsys.readouterr()
    options = ('--init-from', start, '--total-batch', 6, *FOUR)
    run(config_file, '--work-dir', tmp_path / 'b', *options)
    printed = capsys.readouterr().out
    assert f'starts from    weights of {start}' in printed
    assert '1 process x 3 samples x accumulate 2 = 6' in printed
    (tmp_path / 'a/epoch_1.pth').rename(tmp_path / 'a/epoch_0.pth')
    with pytest.raises(FileNotFoundError):
        run(config_file, '--work-dir', tmp_path / 'b', '--resume', start, *FOUR)
