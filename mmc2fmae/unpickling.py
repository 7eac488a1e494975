"""Checkpoints of ``torch.save`` are read as data: an object that is more than data is named."""

import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.file_kinds import require_checkpoint

_DATA = re.compile(
    r'torch\.\w+|torch\.(_utils|_tensor|storage|serialization|nn\.parameter)\..*|collections\..*|'
    r'numpy\..*|mmengine\.logging\.history_buffer\..*|argparse\.Namespace|'
    r'builtins\.(set|getattr|bytearray|complex)|_codecs\.encode'
)
"""What weights-only loading may allow: in a message it would hide the culprit."""
_PYTHON_2 = {'__builtin__': 'builtins', 'commands': 'subprocess'}
"""Names that protocols 0 to 2 use for modules of today."""
_STRINGS = ('SHORT_BINUNICODE', 'BINUNICODE', 'BINUNICODE8', 'UNICODE')
_MOST = 4  # objects that a message names


def load_torch(path: str | Path, map_location: Any = 'cpu', mmap: bool = False) -> Any:
    """Load what ``torch.save`` wrote, weights-only.

    Args:
        path: The file.
        map_location: Device of the tensors, as for ``torch.load``.
        mmap: Leave tensors on disk until they are needed, where the file allows it.

    Returns:
        Tensors, numbers, texts and containers of them.

    Raises:
        CheckpointMismatch: The file holds other objects, which are named and not unpickled, or it
            is no checkpoint or truncated.
    """
    require_checkpoint(path)
    try:
        mmap = mmap and zipfile.is_zipfile(path)
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except Exception as error:  # torch raises many kinds, and its texts advise weights_only=False
        others = [name for name in named_objects(path) if not _DATA.fullmatch(name)]
        if others:
            more = f' and {len(others) - _MOST} more' if len(others) > _MOST else ''
            raise CheckpointMismatch(
                f'{path} holds more than weights, {", ".join(others[:_MOST])}{more}, and is not '
                'unpickled, since that would run code: load it with the code it comes from, if you '
                'trust it, and save its state_dict() alone with safetensors.torch.save_file'
            ) from None
        reason = type(error).__name__
        if not isinstance(error, UnpicklingError):
            reason += f': {str(error).splitlines()[0] if str(error) else ""}'
        raise CheckpointMismatch(
            f'{path} is no readable checkpoint, it may be truncated ({reason})'
        ) from None


def require_finite(weights: Mapping[str, Any], path: str | Path) -> None:
    """Check that no weight is NaN or infinite: all that is computed from it would be, too.

    Args:
        weights: State dict.
        path: Its file.

    Raises:
        CheckpointMismatch: A tensor holds such a number; it is named.
    """
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point:
            continue
        whole = value.float() if value.element_size() == 1 else value  # float8 knows no isfinite
        wrong = value.numel() - int(torch.isfinite(whole).sum())
        if wrong:
            raise CheckpointMismatch(
                f'{path}: {name} has {wrong:,} of {value.numel():,} numbers that are NaN or '
                'infinite, the training that wrote it had diverged: take an earlier checkpoint'
            )


def named_objects(path: str | Path) -> list[str]:
    """List the functions and classes that a pickle names, without running any of it.

    Args:
        path: File of ``torch.save``, of either format, or of ``pickle.dump``.

    Returns:
        Names such as ``posix.system``, each once, in the order of the file; of a damaged file those
        before the damage.
    """
    found: dict[str, None] = {}
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickles = [name for name in archive.namelist() if name.endswith('.pkl')]
                for name in pickles:
                    with archive.open(name) as file:
                        _scan(file, found)
        else:
            with open(path, 'rb') as file:
                while True:  # the format before torch 1.6 is several pickles in a row
                    _scan(file, found)
    except Exception:  # the end of the file, or of what can be understood of it
        pass
    return list(found)


def _scan(file: Any, found: dict[str, None]) -> None:
    """Add the names in one pickle to ``found``."""
    texts: list[str] = []  # strings in the order of use: STACK_GLOBAL takes the last two
    memo: dict[Any, str] = {}
    stored = 0  # MEMOIZE numbers what it keeps
    last: str | None = None
    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case 'GLOBAL' | 'INST':
                module, name = str(argument).split(' ', 1)
                found[f'{_PYTHON_2.get(module, module)}.{name}'] = None
                last = None
            case 'STACK_GLOBAL':
                found['.'.join(texts[-2:])] = None
                last = None
            case name if name in _STRINGS:
                texts.append(str(argument))
                last = str(argument)
            case 'MEMOIZE':
                if last is not None:
                    memo[stored] = last
                stored += 1
            case 'BINPUT' | 'LONG_BINPUT' | 'PUT':
                if last is not None:
                    memo[argument] = last
            case 'BINGET' | 'LONG_BINGET' | 'GET':
                last = memo.get(argument)
                if last is not None:
                    texts.append(last)
            case _:
                last = None
