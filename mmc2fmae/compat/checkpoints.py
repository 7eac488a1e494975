"""Checkpoints: torch.load with weights_only=True, the default since torch 2.6, everywhere."""

import argparse
import os
import pickle
from collections.abc import Callable
from typing import Any

from mmc2fmae.compat.gap import Gap


def allow_checkpoint_types() -> Gap:
    """Allow-list what the checkpoints of mmengine, MAE and MultiMAE hold besides tensors."""
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    # numpy 1 and 2 keep these two functions in modules of different names.
    reduced: list[Any] = [np.zeros(0).__reduce__()[0], np.float64().__reduce__()[0]]
    functions = {function.__name__: function for function in reduced}
    codes = np.typecodes['AllInteger'] + np.typecodes['AllFloat'] + '?U'
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_history_statistic, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            *{type(np.dtype(code)) for code in codes},
            *((f, f'numpy.{core}.multiarray.{n}') for n, f in functions.items()
              for core in ('core', '_core')),
            argparse.Namespace,  # the arguments of an official MAE or MultiMAE run
        ]
    )  # fmt: skip
    return Gap(
        'resuming', 'filled in', 'the log history in checkpoints is allowed, weights_only stays on'
    )


def _history_statistic(owner: type, name: str) -> Callable:
    # A pickled HistoryBuffer looks up its own methods with getattr. Allowing all of getattr would
    # open weights_only loading; this stands in for it and serves nothing else.
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'a checkpoint may not read {name!r} of {owner!r}')
    return getattr(owner, name)


def read_checkpoints_as_data() -> Gap:
    """Let mmengine's runner and inferencers load checkpoints without running what is in them.

    Its loaders leave weights-only to torch's default, which an environment variable switches off,
    and switch it off themselves for addresses; and a resumed run executes ``meta['config']``.
    """
    from functools import partial

    from mmengine.runner import checkpoint as loading

    name = 'checkpoints of others'
    variable = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
    ignored = os.environ.pop(variable, None)
    loader = loading.CheckpointLoader
    if loader.load_checkpoint is not _load_checkpoint:
        loading.load_url = partial(loading.load_url, weights_only=True)
        loader.register_scheme('', loader=load_from_local, force=True)
        _unguarded.append(loader.load_checkpoint)
        loader.load_checkpoint = staticmethod(_load_checkpoint)
    detail = 'weights-only everywhere, and no code in them is run'
    return Gap(name, 'filled in', detail + (f'; {variable} is not heeded' if ignored else ''))


_unguarded: list[Callable] = []


def load_from_local(filename: str, map_location=None) -> dict:
    """Load a local checkpoint in place of mmengine's function, which logs the name of this one."""
    from safetensors.torch import load_file

    from mmc2fmae.file_kinds import require_checkpoint
    from mmc2fmae.unpickling import load_torch

    path = os.path.expanduser(filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if path.endswith('.safetensors'):
        require_checkpoint(path, safetensors=True)
        return dict(state_dict=load_file(path))
    return load_torch(path, map_location)


def _load_checkpoint(filename: str, map_location=None, logger='current'):
    from mmc2fmae.unpickling import require_finite

    checkpoint = _unguarded[0](filename, map_location, logger)
    if isinstance(checkpoint, dict):
        for part in (checkpoint, *(checkpoint.get(k) for k in ('state_dict', 'ema_state_dict'))):
            if isinstance(part, dict):
                require_finite(part, filename)
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if isinstance(meta, dict):
        meta.pop('config', None)  # Runner.resume would execute it
    return checkpoint
