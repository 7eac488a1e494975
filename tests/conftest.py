"""What more than one test file needs."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Threads that wait for each other cost the tiny models of the tests far more than they gain, above
# all on a machine that others use. Set before torch is imported, and inherited by subprocesses.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch

import mmc2fmae  # noqa: F401  (before anything of mmpretrain that a test file imports)

ROOT = Path(__file__).parents[1]
NOT_ONE_GPU = pytest.mark.skipif(
    torch.cuda.device_count() == 1, reason='nccl takes no two processes of one GPU'
)


def environment(*path: str | Path, **changes: str) -> dict[str, str]:
    """Environment of a process that imports from the checkout, after the folders of ``path``."""
    inherited = filter(None, [os.environ.get('PYTHONPATH')])  # packages may lie there
    folders = [*map(str, path), str(ROOT), *inherited]
    return os.environ | {'PYTHONPATH': os.pathsep.join(folders)} | changes


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is imported by now, a million objects.

    Every data set of mmengine calls it when it is built, which took a second in each test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess]:
    """Run Python from the checkout: python('-c', code, path=[folders that are searched first])."""

    def run(*arguments: str, path: tuple = ()) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment(*path),
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(autouse=True)
def no_scope_left():
    """Take back the default scope that a Runner leaves behind: it would change later look-ups."""
    yield
    if 'mmengine.registry' in sys.modules:
        sys.modules['mmengine.registry'].DefaultScope._instance_dict.clear()
