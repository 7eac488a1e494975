import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmc2fmae.parallel import in_chunks, in_threads, progress_bar
from tests.conftest import environment


def _square(numbers):
    return [n * n for n in numbers]


def _die(numbers):
    os._exit(1)


def test_chunks_come_in_order_and_a_lost_process_is_an_error():
    results = in_chunks(_square, range(1000), workers=2, quiet=True)
    assert [n for chunk in results for n in chunk] == [n * n for n in range(1000)]
    with pytest.raises(RuntimeError, match='one of 2 processes died'):
        list(in_chunks(_die, range(1000), workers=2, quiet=True))


def test_threads_give_results_in_order_and_pass_errors_on():
    def slow_first(number):
        time.sleep(0.05 * (number == 0))
        return 1 // (9 - number)

    results = in_threads(slow_first, range(20), quiet=True)
    assert [next(results) for _ in range(9)] == [0] * 8 + [1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.fixture
def later(monkeypatch):
    """Let a number of seconds go by for the bars."""
    now = [1000.0]
    monkeypatch.setattr('tqdm.std.time', lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_a_log_file_gets_a_line_every_half_minute_and_one_at_the_end(later, capsys):
    with progress_bar(100, 'mask', initial=10) as bar:
        for _ in range(9):
            later(10)
            bar.update(10)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split('%')[0].strip() for line in lines] == ['40', '70', '100', '100']
    assert '40/100 [00:30<01:00,  1.00 masks/s]' in lines[0]
    assert not any('\r' in line for line in lines)


def test_a_terminal_gets_one_live_line(later, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    with progress_bar(4000, 'B') as bar:
        for _ in range(4):
            later(2)
            bar.update(1000)
    text = capsys.readouterr().err
    assert text.count('\r') >= 4 and text.count('\n') == 1 and '4.00k/4.00k' in text


def test_short_work_other_processes_and_quiet_runs_show_nothing(later, monkeypatch, capsys):
    with progress_bar(2, 'image') as bar:
        bar.update(2)
    with progress_bar(2, 'image', quiet=True) as bar:
        later(99)
        bar.update(2)
    monkeypatch.setenv('RANK', '1')
    with progress_bar(2, 'image') as bar:
        later(99)
        bar.update(2)
    assert capsys.readouterr().err == ''


CHILD = """
import os, sys, time
from multiprocessing import get_context
from mmc2fmae.parallel import be_a_worker

def work():
    be_a_worker()
    print(os.getpid(), flush=True)
    time.sleep(60)

process = get_context('fork').Process(target=work, daemon=True)
process.start()
{end}
"""


def _is_alive(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != 'linux', reason='prctl')
@pytest.mark.parametrize('end', ['time.sleep(60)', 'time.sleep(0.5)'])
def test_workers_end_with_their_parent_and_not_by_a_signal_to_all(end):
    with subprocess.Popen(
        [sys.executable, '-c', CHILD.format(end=end)],
        stdout=subprocess.PIPE, text=True, env=environment(),
    ) as parent:  # fmt: skip
        worker = int(parent.stdout.readline())
        os.kill(worker, signal.SIGTERM)  # as to all processes of a job
        if end == 'time.sleep(60)':
            time.sleep(0.3)
            assert _is_alive(worker)
            parent.kill()
        parent.wait(30)
    for _ in range(50):
        if not _is_alive(worker):
            break
        time.sleep(0.1)
    assert not _is_alive(worker)
