"""`python -m mmc2fmae.env`: what is installed, what was filled in, and whether training can run."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mmc2fmae
from mmc2fmae import compat, configs

DISTRIBUTIONS = (
    'torch', 'torchvision', 'numpy', 'opencv-python', 'mmengine', 'mmcv', 'mmcv-lite', 'mmpretrain',
    'mmdet', 'mmsegmentation', 'timm', 'transformers', 'pycocotools', 'setuptools',
    'nvidia-dali-cuda120', 'nvidia-dali-cuda130',
)  # fmt: skip
EITHER_OR = (  # not listed where they are not installed
    'mmcv', 'mmcv-lite', 'transformers', 'nvidia-dali-cuda120', 'nvidia-dali-cuda130',
)  # fmt: skip


def collect() -> dict[str, Any]:
    """Return what a run's record needs to be repeated; nothing but JSON types.

    Returns:
        'versions' (distribution name to version, None where it is not installed), 'python',
        'platform', 'hardware' (cpu, cores, memory_gib, cuda, gpus), 'commit' (of the checkout,
        None for an installed package) and 'dirty' (whether the checkout differs from it).
    """
    versions = {name: _version(name) for name in DISTRIBUTIONS}
    commit, dirty = _checkout(Path(__file__).parents[1])
    return {
        'versions': {
            'mmc2fmae': mmc2fmae.__version__,
            **{name: v for name, v in versions.items() if v or name not in EITHER_OR},
        },
        'commit': commit,
        'dirty': dirty,
        'python': platform.python_version(),
        'platform': platform.platform(),
        'hardware': _hardware(),
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _checkout(root: Path) -> tuple[str | None, bool | None]:
    # A package in site-packages may lie inside some other project's checkout, hence the look.
    if not (root / '.git').exists():
        return None, None
    try:
        return _git(root, 'rev-parse', 'HEAD'), bool(_git(root, 'status', '--porcelain'))
    except (OSError, subprocess.CalledProcessError):  # no git, no commit, or another user's files
        return None, None


def _git(root: Path, *arguments: str) -> str:
    command = ['git', '-C', str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _hardware() -> dict[str, Any]:
    gpus: list[str] = []
    hardware: dict[str, Any] = {
        'cpu': _cpu(),
        'cores': os.cpu_count(),
        'memory_gib': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30, 1),
        'cuda': None,
        'gpus': gpus,
    }
    try:
        import torch
    except (ImportError, OSError):  # OSError: a shared library of CUDA is missing
        return hardware
    hardware['cuda'] = torch.version.cuda
    for i in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(i)
        gpus.append(f'{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB')
    return hardware


def _cpu() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def check() -> list[compat.Gap]:
    """Return the record of each gap, and of importing everything that training imports."""
    gaps = compat.gaps() or compat.fill_gaps()
    if any(gap.state == 'missing' for gap in gaps):
        return gaps  # what follows would only repeat them
    for name in ('mmpretrain.models', 'mmdet.models', 'mmseg.models', 'mmc2fmae'):
        try:
            mmc2fmae.register() if name == 'mmc2fmae' else importlib.import_module(name)
            gaps.append(compat.Gap(name, 'ok', 'can be imported'))
        except Exception as error:  # whatever it is, training would stop at it
            gaps.append(compat.failed(name, error))
    return gaps


def other_checkout(folder: Path) -> tuple[str, str] | None:
    """Say where a checkout lies in a folder, or above it, that is not the package that is used.

    Args:
        folder: Where to look.

    Returns:
        What was found and the fix.
    """
    for root in (folder, *folder.parents):
        own = root / 'mmc2fmae'
        if not (own / 'env.py').is_file():
            continue
        if own.resolve() == configs.PACKAGE.resolve():
            return None
        version = re.search(r"^__version__ = '(.+)'", (own / '__init__.py').read_text(), re.M)
        return (
            f'the checkout {root} has mmc2fmae {version[1] if version else "of no version"}, used '
            f'is {mmc2fmae.__version__} of {configs.PACKAGE}',
            f'to use the checkout: python -m pip install -e {root}',
        )
    return None


def main() -> int:
    """Print the report and return the exit status: 0 when training can run, otherwise 1."""
    found, gaps = collect(), check()
    hardware, dirty = found['hardware'], ', modified' if found['dirty'] else ''
    rows = {
        'python': found['python'],
        'platform': found['platform'],
        'CPU': f'{hardware["cpu"]}, {hardware["cores"]} cores, {hardware["memory_gib"]} GiB',
        'CUDA': hardware['cuda'] or 'torch is built without',
        'GPU': '; '.join(hardware['gpus']) or 'none',
        **{name: version or 'not installed' for name, version in found['versions'].items()},
        'commit': f'{found["commit"]}{dirty}' if found['commit'] else 'none found',
        'used': f'{configs.PACKAGE}, {"a checkout" if configs.CHECKOUT else "installed"}',
    }
    if warning := other_checkout(Path.cwd()):
        gaps.append(compat.Gap('one mmc2fmae', 'warning', *warning))
    for name, value in rows.items():
        print(f'{name:<16}{value}')
    print()
    for gap in gaps:
        print(f'{gap.state:<12}{gap.name}: {gap.detail}')
        if gap.fix:
            print(f'{"":<12}fix: {gap.fix}')
    lost = [gap.name for gap in gaps if gap.state == 'missing']
    print(f'\nTraining cannot run: {", ".join(lost)}.' if lost else '\nTraining can run.')
    return 1 if lost else 0


if __name__ == '__main__':
    sys.exit(main())
