"""Run the project's own commands as a user would, with or without a checkout."""

import os
import shlex
import subprocess
import sys

from mmc2fmae import configs


def python_command(name: str, *arguments: object) -> list[str]:
    """Return a command of the project as a process of this Python.

    Args:
        name: Command, as in ``mmc2fmae NAME``.
        *arguments: Its arguments.
    """
    return [sys.executable, '-m', 'mmc2fmae', name, *map(str, arguments)]


def torchrun_command(processes: int, name: str, *arguments: object) -> list[str]:
    """Return a command of the project in several processes, as the scripts tools/dist_*.sh do.

    Args:
        processes: How many on this machine; several machines are told by NNODES, NODE_RANK,
            MASTER_ADDR and PORT.
        name: Command.
        *arguments: Its arguments.
    """
    read = os.environ.get
    return [
        sys.executable, '-m', 'mmc2fmae.torchrun',
        f'--nnodes={read("NNODES", "1")}', f'--node_rank={read("NODE_RANK", "0")}',
        f'--master_addr={read("MASTER_ADDR", "127.0.0.1")}',
        f'--master_port={read("PORT", "29500")}',
        f'--nproc_per_node={processes}', *python_command(name, *arguments)[1:],
    ]  # fmt: skip


def srun_command(
    partition: str, job: str, processes: int, name: str, *arguments: object
) -> list[str]:
    """Return a command of the project as a Slurm job, as the scripts tools/slurm_*.sh do.

    Args:
        partition: Partition.
        job: Name of the job.
        processes: How many, one a GPU; GPUS_PER_NODE (8), CPUS_PER_TASK (8) and SRUN_ARGS are read.
        name: Command.
        *arguments: Its arguments.
    """
    a_node = min(processes, int(os.environ.get('GPUS_PER_NODE', 8)))
    return [
        'srun', '-p', partition, f'--job-name={job}', f'--gres=gpu:{a_node}',
        f'--ntasks={processes}', f'--ntasks-per-node={a_node}',
        f'--cpus-per-task={os.environ.get("CPUS_PER_TASK", 8)}', '--kill-on-bad-exit=1',
        *os.environ.get('SRUN_ARGS', '').split(), *python_command(name, *arguments),
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """Return the environment in which these commands run this very package, wherever they start."""
    own = [str(configs.CHECKOUT)] if configs.CHECKOUT else []
    path = [*own, os.environ.get('PYTHONPATH', '')]
    # Safe path: without it, `-m` would prefer a checkout in the current folder (Python >= 3.11).
    return {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, path)),
        'PYTHONSAFEPATH': '1',
    }


def run_tool(name: str, *options: object) -> None:
    """Run a command of the project in a process of its own; its output goes to the terminal.

    Args:
        name: Command.
        *options: Its arguments.

    Raises:
        SystemExit: It failed; the exit status is the command's.
    """
    words = list(map(str, options))
    print(f'\n$ mmc2fmae {shlex.join([name, *words])}', flush=True)
    code = subprocess.run(python_command(name, *words), env=environment()).returncode
    if code:
        raise SystemExit(code)
