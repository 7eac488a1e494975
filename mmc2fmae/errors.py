"""What is raised for data and checkpoints that cannot be used, and how long lists are worded."""

import difflib
from collections.abc import Iterable, Mapping


class CheckpointMismatch(ValueError):
    """A checkpoint does not fill the model, or is none; the message lists the keys."""


class DatasetError(ValueError):
    """A data set that would fail, or silently teach nothing, later on."""


class RunStopped(RuntimeError):
    """A run cannot go on for a reason outside of it; the message says what to change."""


class SampleError(ValueError):
    """A sample that cannot be used: the message names the file, what was found and the fix.

    Torch builds the error of a data worker anew from the message alone: ``reason`` is then all of
    it, and the other attributes are empty.

    Args:
        reason: What was found and what was expected; ``{photograph}`` stands for that path.
        path: The file.
        advice: What to do about it.
        photograph: Path of the photograph, where the reason names it, too.
    """

    def __init__(
        self, reason: str, path: object = '', advice: str = '', photograph: object = ''
    ) -> None:
        super().__init__(reason, path, advice, photograph)
        self.reason = reason
        self.path = str(path)
        self.advice = advice
        self.photograph = str(photograph)

    def told(self, names: Mapping[str, str], with_path: bool = True) -> str:
        """Return the message with other names for its files.

        Args:
            names: Path to name; others stay as they are.
            with_path: Begin with the file, where there is one.
        """
        photograph = names.get(self.photograph, self.photograph)
        reason = self.reason.replace('{photograph}', photograph) if photograph else self.reason
        text = f'{reason}; {self.advice}' if self.advice else reason
        return f'{names.get(self.path, self.path)}: {text}' if self.path and with_path else text

    def __str__(self) -> str:
        return self.told({})


class LabelsError(ValueError):
    """A labelled set is not what it was said to be; the message names what differs."""


def first_names(names: Iterable[str], most: int = 5) -> str:
    """Return the first names and how many more there are, in one line."""
    names = list(names)
    rest = f' and {len(names) - most:,} more' if len(names) > most else ''
    return ', '.join(names[:most]) + rest


def shown(value: object, most: int = 40) -> str:
    """Return a value as code, cut after ``most`` letters."""
    text = repr(value)
    return text if len(text) <= most else f'{text[: most - 3]}...'


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ', did you mean X?' where something known is close, otherwise nothing."""
    found = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f', did you mean {found[0]}?' if found else ''
