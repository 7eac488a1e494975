"""The launcher says in one line what went wrong, and which process it was."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from mmc2fmae import torchrun
from tests.conftest import ROOT, environment

WORKER = """
import os, signal, sys, time
rank = int(os.environ['RANK'])
{body}
"""


def launch(tmp_path, body, *options, processes=2):
    script = tmp_path / 'worker.py'
    script.write_text(WORKER.format(body=body))
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    return subprocess.Popen(
        [sys.executable, '-m', 'mmc2fmae.torchrun', f'--nproc_per_node={processes}',
         f'--master_port={port}', *options, str(script)],
        env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ('body', 'code', 'said'),
    [
        ('sys.exit(2 * rank) if rank else time.sleep(60)', 2, 'rank 1 (process '),
        (
            'os.kill(os.getpid(), signal.SIGKILL) if rank else time.sleep(60)',
            137,
            'was ended by SIGKILL, as the system does where memory runs out',
        ),
    ],
)
def test_the_first_process_that_fails_is_named_and_ends_the_others(tmp_path, body, code, said):
    began = time.monotonic()
    with launch(tmp_path, body) as process:
        err = process.communicate(timeout=50)[1]
    assert process.returncode == code
    assert said in err and 'Traceback' not in err
    assert time.monotonic() - began < 40  # not the minute that the other one would sleep


def test_a_port_in_use_is_named_with_a_free_one(capsys):
    with socket.create_server(('', 0)) as server:
        port = server.getsockname()[1]
        options = [f'--master_port={port}', '--nproc_per_node=1', 'x.py']
        assert torchrun.main(options) == 2
    err = capsys.readouterr().err
    assert f'PORT={port} of this machine cannot be opened' in err
    assert 'take a free one, such as PORT=' in err and err.count('\n') == 1


def test_processes_that_know_nothing_of_it_end_with_the_launcher(tmp_path):
    body = 'time.sleep(1); sys.stdout.write("ready\\n"); sys.stdout.flush(); time.sleep(60)'
    with launch(tmp_path, body) as process:
        for _ in range(2):  # both are known to the launcher by then
            assert process.stdout.readline() == 'ready\n'
        process.send_signal(signal.SIGUSR1)
        err = process.communicate(timeout=50)[1]
    assert process.returncode == 128 + signal.SIGUSR1
    assert 'ended by SIGUSR1' in err


def test_processes_that_save_and_leave_make_status_75(tmp_path):
    body = """
from pathlib import Path
folder = Path(os.environ['MMC2FMAE_LAUNCHER'])
(folder / 'polls').touch()
print('ready', flush=True)
while not (folder / 'stop').exists():
    time.sleep(0.05)
(folder / 'left').touch()
"""
    with launch(tmp_path, body) as process:
        assert process.stdout.readline() == 'ready\n'
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=50)
    assert process.returncode == 75


def test_a_restart_has_a_count_and_meets_anew(tmp_path):
    body = """
import torch.distributed as dist
dist.init_process_group('gloo')
again = os.environ['TORCHELASTIC_RESTART_COUNT']
dist.barrier()
if again == '0' and rank:
    os.kill(os.getpid(), signal.SIGKILL)
dist.barrier()
sys.stdout.write('restarted ' + again + '\\n')  # in one piece
"""
    with launch(tmp_path, body, '--max_restarts=1') as process:
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert out.count('restarted 1') == 2


STUBS = {
    'scontrol': 'if [ "$1" = show ]; then echo localhost; echo other; else echo "$@"; fi',
    'srun': 'shift; SLURM_NODEID=0 exec "$@"',
    'python': 'trap "exit 75" USR1; echo "$@"; for i in $(seq 100); do sleep 0.1; done',
}


def test_a_slurm_job_that_was_signalled_saves_and_queues_again(tmp_path):
    for name, body in STUBS.items():
        path = tmp_path / name
        path.write_text(f'#!/usr/bin/env bash\n{body}\n')
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    environment = {
        **os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'SLURM_JOB_ID': '7',
        'SLURM_JOB_NUM_NODES': '2', 'SLURM_JOB_NODELIST': 'x[1-2]',
    }  # fmt: skip
    environment.pop('PYTHON', None)
    command = ['bash', str(ROOT / 'tools/slurm_requeue.sbatch'), 'x.py', '8', '--epochs', '3']
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as job:
        line = job.stdout.readline()
        while job.poll() is None:  # on a busy machine the script may not listen yet
            time.sleep(0.5)
            job.send_signal(signal.SIGUSR1)
        rest = job.communicate(timeout=30)[0]
    assert job.returncode == 75
    assert '--nnodes=2 --node_rank=0 --master_addr=localhost --master_port=20007' in line
    assert line.strip().endswith('x.py --launcher pytorch --epochs 3 --resume')
    assert rest == 'requeue 7\n'
