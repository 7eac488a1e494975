"""Where in a checkpoint the weights lie, and which of them: as trained, or averaged (EMA)."""

from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from mmc2fmae.errors import CheckpointMismatch

# 'teacher' is DINO's and iBOT's, 'state_dict_ema' timm's, 'model_ema' that of DeiT and ConvNeXt.
AVERAGED = ('teacher', 'state_dict_ema', 'model_ema', 'ema_state_dict', 'ema_model', 'ema')
# In order of preference: what was trained, but of DINO the teacher, which numbers are published of.
CONTAINERS = ('state_dict', 'model', 'model_state_dict', 'teacher', 'student', 'module', *AVERAGED)
WHICH = ('ema', 'raw')


def check_which(which: str | None) -> None:
    """Check which weights are asked for.

    Raises:
        ValueError: They are of no kind that there is.
    """
    if which not in (None, *WHICH):
        raise ValueError(f'which is {which!r}: expected {" or ".join(WHICH)} weights')


def unwrap(
    checkpoint: object, path: str | Path = 'checkpoint', which: str | None = None
) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint that wraps it among other things.

    Where raw and averaged weights lie side by side, the log says which are read.

    Args:
        checkpoint: A state dict or a dict that holds one under one of :data:`CONTAINERS`.
        path: Its file, for messages.
        which: 'ema' for averaged weights, 'raw' for those they are averaged of, None for the first
            of :data:`CONTAINERS`.

    Raises:
        CheckpointMismatch: There is no state dict in it, or not the one that is asked for.
        ValueError: ``which`` is something else.
    """
    check_which(which)
    content, read = checkpoint, set[str]()
    while isinstance(content, dict):
        kinds = _kinds(content)
        if not kinds:
            weights = {k: v for k, v in content.items() if isinstance(v, Tensor)}
            if not weights:
                break
            if (which == 'ema' and 'ema' not in read) or (which == 'raw' and read == {'ema'}):
                other = 'raw' if which == 'ema' else 'averaged'
                raise CheckpointMismatch(
                    f'{path} has one set of weights, {other} ones: leave out --weights {which}'
                )
            return weights
        kind = which if which in kinds else next(iter(kinds))
        read.add(kind)
        if len(kinds) == 2:
            other = 'raw' if kind == 'ema' else 'ema'
            print_log(
                f'weights: {_NAMES[kind]} of {path}, under {kinds[kind]!r}; {_NAMES[other]} lie '
                f'beside them, under {kinds[other]!r} (--weights {other})',
                'current',
            )
        inner = content[kinds[kind]]
        content = _without_module(inner) if kinds[kind] in AVERAGED else inner
    found = list(content)[:8] if isinstance(content, dict) else type(content).__name__
    raise CheckpointMismatch(
        f'{path} is no readable checkpoint: no state dict: found {found}, expected tensors or '
        f'{CONTAINERS}'
    )


_NAMES = dict(ema='averaged ones (EMA)', raw='raw ones')


def _kinds(content: dict[Any, Any]) -> dict[str, str]:
    """Return where weights of each kind lie, the preferred kind first."""
    there = [name for name in CONTAINERS if isinstance(content.get(name), dict)]
    averaged: tuple[str, ...] = AVERAGED
    if {'state_dict', 'ema_state_dict'} <= set(there) and _is_mmengine(content):
        averaged = ('state_dict',)  # its EMAHook exchanges the two before it saves
    kinds: dict[str, str] = {}
    for name in there:
        kinds.setdefault('ema' if name in averaged else 'raw', name)
    return kinds


def _is_mmengine(content: dict[Any, Any]) -> bool:
    meta = content.get('meta')
    return isinstance(meta, dict) and 'mmengine_version' in meta


def _without_module(content: dict[Any, Any]) -> dict[Any, Any]:
    """Take off the prefix of averaged models, which count their steps beside it."""
    names = [name for name in content if name not in ('steps', 'n_averaged')]
    if not names or not all(isinstance(name, str) and name.startswith('module.') for name in names):
        return content
    return {name.removeprefix('module.'): content[name] for name in names}
