"""Several processes know of each other, and one that is alone is left alone."""

import pytest

from mmc2fmae.engine.processes import count_processes, require_launcher

STARTED = {
    'torchrun': dict(TORCHELASTIC_RUN_ID='none', WORLD_SIZE='2', RANK='0'),
    'srun': dict(SLURM_PROCID='0', SLURM_STEP_NUM_TASKS='2'),
    'mpirun': dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2'),
}
NOT_STARTED = [
    {},
    dict(WORLD_SIZE='4'),  # what container platforms export
    dict(SLURM_NTASKS='4'),  # in a shell of salloc
    dict(SLURM_NTASKS='4', SLURM_PROCID='0'),  # in a script of sbatch
    dict(STARTED['torchrun'], WORLD_SIZE='1'),
]


@pytest.fixture
def alone(monkeypatch):
    for names in STARTED.values():
        for name in (*names, 'SLURM_NTASKS'):
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize('starter', STARTED)
def test_processes_that_know_nothing_of_each_other_are_refused(starter, alone):
    for name, value in STARTED[starter].items():
        alone.setenv(name, value)
    launcher = dict(torchrun='pytorch', srun='slurm', mpirun='mpi')[starter]
    with pytest.raises(ValueError, match=f'{starter} started 2 processes, .*--launcher {launcher}'):
        require_launcher('none')
    require_launcher(launcher)


@pytest.mark.parametrize('environment', NOT_STARTED)
def test_a_single_process_needs_no_launcher(environment, alone):
    for name, value in environment.items():
        alone.setenv(name, value)
    require_launcher('none')


@pytest.mark.parametrize(
    ('launcher', 'variables', 'expected'),
    [
        ('none', dict(SLURM_NTASKS='4'), 1),
        ('none', dict(WORLD_SIZE='4'), 1),
        ('pytorch', dict(WORLD_SIZE='2', SLURM_NTASKS='4'), 2),
        ('slurm', dict(WORLD_SIZE='2', SLURM_NTASKS='4'), 4),
        ('mpi', dict(OMPI_COMM_WORLD_SIZE='3'), 3),
    ],
)
def test_processes_are_those_that_the_launcher_started(monkeypatch, launcher, variables, expected):
    for name in ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    if launcher != 'none':
        with pytest.raises(ValueError, match=r'is not set, .* did not start this process'):
            count_processes(launcher)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert count_processes(launcher) == expected
