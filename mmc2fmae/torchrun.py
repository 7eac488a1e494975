"""torchrun as this project uses it: errors in one line, and signals let a training save and leave.

``python -m mmc2fmae.torchrun [options of torchrun] SCRIPT [arguments]``; tools/dist_*.sh call it.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

LEAVING = 75  # EX_TEMPFAIL: start the same command again
VARIABLE = 'MMC2FMAE_LAUNCHER'  # a folder in which launcher and processes tell each other
POLLS, STOP, LEFT = 'polls', 'stop', 'left'  # files in it: who looks, what is asked, what was done


def launcher_folder() -> Path | None:
    """Return where the launcher that started this process leaves word, None without one."""
    name = os.environ.get(VARIABLE)
    return Path(name) if name else None


def restarted() -> int:
    """Return how often the launcher has started this process anew after a failure."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT') or 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the processes, wait for them and return the exit status.

    It is 75 where a training was told to end by SIGTERM or SIGUSR1, and saved and left.

    Args:
        arguments: Those of torchrun; None takes the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    from torch.distributed.elastic.multiprocessing import api as processes
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    options = parse_args(words)
    if int(options.max_restarts):  # what is shared between starts has the addresses of the dead
        os.environ['TORCH_DISABLE_SHARE_RDZV_TCP_STORE'] = '1'
        options.rdzv_backend, options.rdzv_id = 'c10d', str(options.master_port)
        options.rdzv_endpoint = f'{options.master_addr}:{options.master_port}'
    busy = _busy_port(options)
    if busy:
        print(f'torchrun: error: {busy}', file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix='mmc2fmae_') as name:
        folder = Path(name)
        os.environ[VARIABLE] = name
        ends = processes._terminate_process_handler

        def take(signum: int, frame: FrameType | None) -> None:
            told = signum in (signal.SIGTERM, signal.SIGUSR1)
            if told and (folder / POLLS).exists():
                (folder / STOP).touch()  # the processes look after each step
            else:
                ends(signum, frame)

        processes._terminate_process_handler = take  # torchrun sets it for SIGTERM and others
        signal.signal(signal.SIGUSR1, take)
        try:
            run(options)
        except ChildFailedError as error:
            return _tell(error)
        except processes.SignalException as error:
            print(f'torchrun: ended by {error.sigval.name}', file=sys.stderr)
            return 128 + error.sigval
        except (RuntimeError, OSError, ValueError) as error:  # the machines do not find each other
            said = str(error).partition('\n')[0]
            print(f'torchrun: error: {said}; {_where(options)}', file=sys.stderr)
            return 2
        return LEAVING if (folder / LEFT).exists() else 0


def _where(options: Any) -> str:
    return (
        f'the machines meet at MASTER_ADDR={options.master_addr}, PORT={options.master_port}, and '
        f'this is NODE_RANK={options.node_rank} of NNODES={options.nnodes}: these must be the same '
        'on all, but for NODE_RANK, and the port open between them'
    )


def _busy_port(options: Any) -> str | None:
    """Say that the port is taken, on the machine that opens it."""
    if int(options.node_rank) or options.standalone:
        return None
    try:
        with socket.create_server(('', options.master_port)):
            return None
    except OSError as error:
        with socket.create_server(('', 0)) as free:
            port = free.getsockname()[1]
        return (
            f'PORT={options.master_port} of this machine cannot be opened '
            f'({os.strerror(error.errno or 0)}), '
            f'perhaps another run has it: take a free one, such as PORT={port}, on all machines'
        )


def _tell(error: Any) -> int:
    """Name the process that failed first; return its status."""
    rank, failure = error.get_first_failure()
    code = failure.exitcode
    if code >= 0:
        said = f'ended with status {code}; what it said is above'
    else:
        said = f'was ended by {signal.Signals(-code).name}'
        said += ', as the system does where memory runs out' if code == -signal.SIGKILL else ''
    print(
        f'torchrun: error: rank {rank} (process {failure.pid}) on {socket.gethostname()} {said}; '
        'the others were ended, --resume continues from the last checkpoint',
        file=sys.stderr,
    )
    return code if code > 0 else 128 - code


if __name__ == '__main__':
    logging.disable(logging.ERROR)  # of torchrun: what it says at length is one line here
    sys.exit(main())
