"""argparse as this project uses it: one line for a mistake, and the nearest name."""

import argparse
import math
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from mmc2fmae.errors import nearest
from mmc2fmae.paths import expand_values
from mmc2fmae.values import parse_value

WORDS = {'classes', 'labels', 'names', 'object_class', 'only', 'part', 'query', 'rows'}
"""Options whose texts are no paths, and may hold a ``$`` of their own."""


class Parser(argparse.ArgumentParser):
    """A parser that expands ``~`` and $VARIABLES, and whose errors are one line.

    Shells leave them alone in ``--data-root=~/x``, in ``data_root=~/x`` and in quotes.
    """

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; options may stand between a positional argument and one that may be left out."""
        # Until Python 3.12 the latter counts as left out as soon as an option follows the former.
        if any(action.nargs == '?' for action in self._get_positional_actions()):
            return self._finish(*self.parse_known_intermixed_args(args, namespace))[0]
        return super().parse_args(args, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what is unknown is an error of the innermost parser, which knows its options."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if any(a.nargs == argparse.SUPPRESS for a in self._get_positional_actions()):
            return namespace, unknown  # of intermixed ones the options are parsed first, alone
        return self._finish(namespace, unknown)

    def _finish(self, namespace: Any, unknown: list[str]) -> Any:
        """Refuse what is unknown and expand paths."""
        if unknown:
            options = [name for action in self._actions for name in action.option_strings]
            found = [w + nearest(w.partition('=')[0], options) for w in unknown if w[:1] == '-']
            self.error(f'unrecognized arguments: {"; ".join(found) or " ".join(unknown)}')
        for action in self._actions:
            if action.dest in namespace and action.dest not in WORDS:
                try:
                    value = expand_values(getattr(namespace, action.dest))
                except ValueError as error:
                    self.error(f'{(action.option_strings or [action.dest])[-1]} {error}')
                setattr(namespace, action.dest, value)
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            message += nearest(choice[1], re.findall(r'[\w.-]+', choice[2]))
        self.exit(2, f'{self.prog}: error: {message} (`{self.prog} --help`)\n')


class KeyValues(argparse.Action):
    """KEY=VALUE pairs as a dict; repeated options add up."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Put the pairs into the namespace."""
        found = dict(getattr(namespace, self.dest, None) or {})
        for pair in values:
            key, equals, text = pair.partition('=')
            if not equals:
                raise argparse.ArgumentError(self, f'{pair!r}: expected KEY=VALUE')
            try:
                found[key] = parse_value(text)
            except ValueError as error:
                raise argparse.ArgumentError(self, f'{pair!r}: {error}') from error
        setattr(namespace, self.dest, found)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of all of its sub-commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def accept_debug(parser: argparse.ArgumentParser) -> None:
    """Let a command and its sub-commands take ``--debug``."""
    for each in parsers(parser):
        each.add_argument(
            '--debug',
            action='store_true',
            default=argparse.SUPPRESS,
            help='show the traceback of an error',
        )


def tell_left_out(reasons: Sequence[str], consequence: str) -> int:
    """Name the files that a command had to leave out; return its exit status, 3 or 0.

    Args:
        reasons: A line for each file.
        consequence: What that means for the result.
    """
    for reason in reasons:
        print(reason, file=sys.stderr)
    if reasons:
        files = f'{len(reasons)} file{"s" * (len(reasons) > 1)}'
        print(f'{files} could not be read, named above: {consequence}', file=sys.stderr)
    return 3 if reasons else 0


def at_least_one(text: str) -> int:
    """Read a whole number of at least 1."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f'{text!r}: expected a number above 0')
    return int(text)


def whole_number(text: str) -> int:
    """Read a whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r}: expected a whole number of at least 0')
    return int(text)


def positive(text: str) -> float:
    """Read a number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r}: expected a number above 0')
    return number


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f'{text!r}: expected a number from 0 to 1')
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
