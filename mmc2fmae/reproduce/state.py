"""What the files of the table runner hold, so that a damaged one is known when it is read."""

from types import NoneType

from mmc2fmae.state_files import Shape

_TEXT = (str, NoneType)
_NUMBER = (float, NoneType)

_HARDWARE: Shape = {'*': (str, float, bool, NoneType, [str])}
RESULT: Shape = dict(
    kind=str,
    name=str,
    seed=(int, NoneType),
    protocol=_TEXT,
    modified=[str],
    limit=(int, NoneType),
    mark=str,
    metrics={'*': dict(value=float)},
    seconds=float,
    memory_mib=dict(host=_NUMBER, gpu=_NUMBER),
    commit=_TEXT,
    dirty=(bool, NoneType),
    versions={'*': _TEXT},
    python=_TEXT,
    hardware=_HARDWARE,
    checkpoint=(dict(file=str, bytes=int, sha256=str), NoneType),
    start=_TEXT,
)
ATTEMPTS: Shape = dict(attempts=[dict(started=float)])
SHAPES: dict[str, Shape] = {'result.json': RESULT, 'stage.json': ATTEMPTS}
