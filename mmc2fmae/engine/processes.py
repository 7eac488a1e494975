"""The processes of a run: how many there are, that they know of each other, how they part."""

import gc
import os

import torch

# What a starter of several processes tells each of them, and the launcher that reads it. Not
# SLURM_NTASKS, which a shell of salloc has, too.
_STARTED = dict(
    pytorch=('TORCHELASTIC_RUN_ID', 'WORLD_SIZE', 'torchrun'),
    slurm=('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS', 'srun'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'mpirun'),
)


def require_launcher(launcher: str) -> None:
    """Refuse to be one of several processes that would each do the whole work in one folder.

    Args:
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: Several were started, and no launcher is given.
    """
    for name, (mark, size, starter) in _STARTED.items():
        number = os.environ.get(size, '1')
        if launcher == 'none' and mark in os.environ and number not in ('', '1'):
            raise ValueError(
                f'{starter} started {number} processes, each of which would do the whole work on '
                f'its own in the same folder: add --launcher {name}, or start one process'
            )


def count_processes(launcher: str) -> int:
    """Return how many processes train together.

    What a Slurm shell or a container platform exports counts only where the launcher reads it.

    Args:
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: The launcher has not started this process.
    """
    if launcher == 'none':
        return 1
    variable, starter = dict(
        pytorch=('WORLD_SIZE', 'torchrun'),
        slurm=('SLURM_NTASKS', 'srun'),
        mpi=('OMPI_COMM_WORLD_SIZE', 'mpirun'),
    )[launcher]
    if variable not in os.environ:
        raise ValueError(
            f'--launcher {launcher}: {variable} is not set, {starter} did not start this process; '
            'start it by tools/dist_train.sh or tools/slurm_train.sh, or leave --launcher out'
        )
    return int(os.environ[variable])


def leave_processes() -> None:
    """Part from the other processes of a finished run; gloo's threads abort one that just exits."""
    if torch.distributed.is_initialized():
        gc.collect()  # the runner is a cycle; its wrapped model must go before what it speaks over
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
