"""What is raised for data and checkpoints that cannot be used, and how long lists are worded."""

import difflib
from collections.abc import Iterable


class CheckpointMismatch(ValueError):
    """A checkpoint does not fill the model, or is none; the message lists the keys."""


class DatasetError(ValueError):
    """A data set that would fail, or silently teach nothing, later on."""


class SampleError(ValueError):
    """A sample that cannot be used: the message names the file, what was found and the fix."""


class LabelsError(ValueError):
    """A labelled set is not what it was said to be; the message names what differs."""


def first_names(names: Iterable[str], most: int = 5) -> str:
    """Return the first names as indented lines and how many more there are."""
    names = list(names)
    rest = [f'  and {len(names) - most} more'] if len(names) > most else []
    return '\n'.join([f'  {name}' for name in names[:most]] + rest)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ', did you mean X?' where something known is close, otherwise nothing."""
    found = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f', did you mean {found[0]}?' if found else ''
