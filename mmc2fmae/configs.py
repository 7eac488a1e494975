"""The project's configs: where they lie, which one a name means, and what is wrong with one."""

import ast
import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

PREFIX = 'mmc2fmae::'
PACKAGE = Path(__file__).parent
FOLDER = (PACKAGE / '.mim/configs').resolve()
"""``configs/``: `.mim` holds links in a checkout, the files themselves in an installed package."""
ROOT = FOLDER.parent
"""What ``configs/...`` is relative to."""
CHECKOUT = PACKAGE.parent if PACKAGE.resolve().parent == ROOT else None
"""The checkout that the package is run from, None where it is installed."""


class ConfigError(ValueError):
    """A config that cannot be read or built; the message names it."""


def names() -> list[str]:
    """Return the names of the configs that can be run, as every command takes them."""
    found = (path.relative_to(FOLDER) for path in sorted(FOLDER.rglob('*.py')))
    return [f'{PREFIX}{path.as_posix()}' for path in found if path.parts[0] != '_base_']


def summary(name: str | Path) -> str:
    """Return what a config says of itself: the first line of its docstring, empty without one.

    Args:
        name: See :func:`find`.

    Raises:
        FileNotFoundError: There is none.
    """
    said = ast.get_docstring(ast.parse(find(name).read_text('utf-8'))) or ''
    return said.partition('\n')[0]


def find(name: str | Path) -> Path:
    """Return the file of a config.

    Args:
        name: A path, ``mmc2fmae::pretrain/c2fmae_vitb_1600e.py`` for one of the project's, or a
            run, for the config that it was trained with (see :func:`run_folder`).

    Raises:
        FileNotFoundError: There is none; the message names the nearest.
        ConfigError: A folder holds several.
    """
    text = str(name)
    if folder := run_folder(name):
        return _of_run(folder)
    path = FOLDER / text.removeprefix(PREFIX) if text.startswith(PREFIX) else Path(name)
    if path.is_file():
        return path
    raise FileNotFoundError(
        f'config {text} does not exist{_did_you_mean(text)}; `mmc2fmae configs` lists those of the '
        'project'
    )


def run_folder(name: str | Path) -> Path | None:
    """Return the folder of the run that a word of the command line means, None for a config.

    Args:
        name: The folder itself, or a checkpoint in it.
    """
    path = Path(name)
    if path.is_dir():
        return path
    return path.parent if path.suffix == '.pth' and path.is_file() else None


def require_weights(name: str, checkpoint: str | None) -> str:
    """Return the weights that a command reads beside a config: the run itself stands for both.

    Args:
        name: Config or run.
        checkpoint: Checkpoint, where the command line has one.

    Raises:
        ConfigError: There are none.
    """
    if not (checkpoint or run_folder(name)):
        raise ConfigError(
            f'{name}: a checkpoint is missing after the config; or give the folder of a run in '
            'place of both'
        )
    return checkpoint or name


def _of_run(folder: Path) -> Path:
    """Return the config that a training left in its folder, with all of its options."""
    found = sorted(folder.glob('*.py'))
    if not found:
        raise FileNotFoundError(
            f'{folder} holds no config (.py) of a training: give the config and the checkpoint'
        )
    if len(found) > 1:
        raise ConfigError(
            f'{folder} holds {len(found)} configs, {found[0].name} and {found[1].name} among them: '
            'give the one of the run and the checkpoint'
        )
    return found[0]


def _did_you_mean(text: str) -> str:
    known = [name.removeprefix(PREFIX) for name in names()]
    asked = text.removeprefix(PREFIX).removeprefix('configs/')
    near = difflib.get_close_matches(asked, known, 1, 0.8)
    if not near:  # the file's name may be right, and its folder wrong
        files = {Path(name).name: name for name in known}
        near = [files[n] for n in difflib.get_close_matches(Path(asked).name, files, 1, 0.8)]
    return f', did you mean {PREFIX}{near[0]}?' if near else ''


def read(name: str | Path) -> 'Config':
    """Read a config.

    Args:
        name: See :func:`find`.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: It is wrong; the message says where.
    """
    from mmengine.config import Config

    path = find(name)
    with blame(path):
        return Config.fromfile(path)


def override(cfg: 'Config', values: Mapping[str, Any] | None) -> None:
    """Override fields of a config in place.

    Args:
        cfg: The config.
        values: Dotted key to value, as of ``--cfg-options``.

    Raises:
        ConfigError: A value does not fit.
    """
    with blame(f'{cfg.filename} with {dict(values or {})}'):
        cfg.merge_from_dict(dict(values or {}))


@contextmanager
def blame(
    name: str | Path, guilty: Callable[[Exception], bool] = lambda error: True
) -> Iterator[None]:
    """Let what is raised within name the config that it is about.

    Args:
        name: The config.
        guilty: Tells for which errors that is so.

    Raises:
        ConfigError: In place of what was raised.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # whatever Python or mmengine finds wrong
        if not guilty(error):
            raise
        said = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ConfigError(f'config {name}: {type(error).__name__}: {said}') from error


def serve() -> None:
    """Let mmengine read ``mmc2fmae::...`` in ``_base_`` and in its ``get_config``."""
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    if 'mmc2fmae' in MODULE2PACKAGE:
        return
    MODULE2PACKAGE['mmc2fmae'] = 'mmc2fmae'
    others = Config._get_cfg_path

    def path_and_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        # No scope: the parts of our configs are found by their own default_scope, mmdet's among
        # them, as if the file lay beside the one that names it.
        if cfg_path.startswith(PREFIX):
            return str(find(cfg_path)), None
        return others(cfg_path, filename)

    Config._get_cfg_path = staticmethod(path_and_scope)


def training_length(cfg: 'Config') -> tuple[str, int]:
    """Return what a training counts, 'epoch' or 'iter', and how many of them it has.

    Args:
        cfg: Config with a ``train_cfg``.
    """
    iters = cfg.train_cfg.get('max_iters')
    return ('iter', int(iters)) if iters else ('epoch', int(cfg.train_cfg.max_epochs))
