"""Closes the gaps between the released OpenMMLab packages and today's torch, numpy and setuptools.

Importing this package closes them, so `mmc2fmae/__init__.py` imports it before anything else (but
see COMMAND_LINE).
`python -m mmc2fmae.env` prints what was found and what was filled in.
"""

import importlib.util
import multiprocessing
import sys
from pathlib import Path

from mmc2fmae.compat import checkpoints, data, operators, packages
from mmc2fmae.compat.gap import Gap, pip_install

# Import name -> what pip installs; the same versions as in pyproject.toml (a test compares them).
REQUIREMENTS = {
    'torch': 'torch>=2.6',
    'torchvision': 'torchvision>=0.21',
    'mmengine': 'mmengine==0.10.7',
    'mmcv': 'mmcv-lite==2.1.0',
    'mmpretrain': 'mmpretrain==1.2.0',
    'mmdet': 'mmdet==3.3.0',
    'mmseg': 'mmsegmentation==1.2.2',
    'timm': 'timm>=1.0.3',
    'numpy': 'numpy>=1.26',
    'PIL': 'pillow>=10',
    'cv2': 'opencv-python>=4.9',
    'matplotlib': 'matplotlib>=3.8',
    'pycocotools': 'pycocotools>=2.0.8',
    'ftfy': 'ftfy>=6',
    'regex': 'regex',
    'safetensors': 'safetensors>=0.4',
    'tqdm': 'tqdm>=4.62',
    'jinja2': 'jinja2>=3.1',
}


def _is_command_line() -> bool:
    # A worker of a pool starts with the command line of its parent, and needs the whole package.
    if multiprocessing.parent_process() is not None:
        return False
    words = sys.argv or ['']
    if words[0] == '-m':  # so it is called until Python has found the module
        return sys.orig_argv[-len(words)].removeprefix('-m') in (
            'mmc2fmae',
            'mmc2fmae.env',
            'mmc2fmae.torchrun',
        )
    script = Path(words[0]).absolute()
    if script.parent.name == 'tools':
        return (script.parents[1] / 'mmc2fmae/cli').is_dir()
    return script.name == 'mmc2fmae'


# Whether this process is the command `mmc2fmae`, `python -m mmc2fmae` or a script of a checkout's
# tools/. These answer --help and a wrong path at once, so importing the package does nothing there:
# mmc2fmae.cli closes the gaps and registers the parts once it has understood its arguments.
COMMAND_LINE = _is_command_line()

_gaps: list[Gap] = []


def gaps() -> list[Gap]:
    """Return the record of each gap, in the order in which they were closed."""
    return list(_gaps)


def close_gaps() -> None:
    """Fill in what the stack lacks; calling it again changes nothing.

    Raises:
        ImportError: training cannot run; the message names each missing thing and its fix.
    """
    lost = [f'{g.detail} (fix: {g.fix})' for g in fill_gaps() if g.state == 'missing']
    if lost:
        raise ImportError(f'mmc2fmae cannot run with these packages: {"; ".join(lost)}')


def fill_gaps() -> list[Gap]:
    """Fill in what the stack lacks and return the record of each gap, missing ones among them."""
    _gaps[:] = [
        Gap(name, 'missing', f'the package {name} is not installed', pip_install(requirement))
        for name, requirement in REQUIREMENTS.items()
        if importlib.util.find_spec(name) is None
    ]
    if not _gaps:
        _gaps.append(Gap('packages', 'ok', f'all {len(REQUIREMENTS)} are installed'))
        for close in (
            operators.check_torchvision,
            operators.check_one_mmcv,
            operators.fill_mmcv_operators,
            checkpoints.allow_checkpoint_types,
            checkpoints.read_checkpoints_as_data,
            data.restrict_image_formats,
            data.keep_label_ids,
            data.copy_datasets_afresh,
            packages.keep_out_multimodal,
            packages.replace_pkg_resources,
            packages.restore_find_loader,
        ):
            try:
                _gaps.append(close())
            except Exception as error:  # half-broken packages raise anything, even AssertionError
                _gaps.append(failed(close.__name__.replace('_', ' '), error))
    return gaps()


def failed(name: str, error: Exception) -> Gap:
    """Return the record of a thing called `name` that raised `error`."""
    absent = (error.name or '').split('.')[0] if isinstance(error, ModuleNotFoundError) else ''
    pinned = [r for r in REQUIREMENTS.values() if r.startswith('mm')]
    wanted = [REQUIREMENTS.get(absent, absent)] if absent else pinned
    return Gap(name, 'missing', f'{type(error).__name__}: {error}', pip_install(*wanted))


if not COMMAND_LINE:
    close_gaps()
