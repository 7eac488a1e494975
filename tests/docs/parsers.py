"""The one seam between pages and tools: the argument parser of a tool."""

import argparse
import importlib.util
import os
import runpy
import sys
from functools import cache
from unittest import mock

from tests.docs.pages import ROOT


class _Captured(BaseException):
    """Carries a parser out of a tool, past its own handlers."""


@cache
def parser_of(tool: str) -> argparse.ArgumentParser:
    """Return the argument parser of a tool, as the tool itself builds it; nothing else of it runs.

    Args:
        tool: ``mmc2fmae`` or a script of the checkout, such as ``tools/train.py``.

    Raises:
        LookupError: There is no such tool.
    """
    if tool == 'mmc2fmae':
        if importlib.util.find_spec('mmc2fmae.cli') is None:
            raise LookupError('there is no command mmc2fmae')
        return strict(importlib.import_module('mmc2fmae.cli').parser())
    if not (ROOT / tool).is_file():
        raise LookupError(f'there is no {tool}')
    return strict(_capture(tool))


def sub_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a parser's sub-commands by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def strict(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a parser and its sub-commands refuse abbreviated options: pages spell them out."""
    parser.allow_abbrev = False
    for part in sub_parsers(parser).values():
        strict(part)
    return parser


def _capture(tool: str) -> argparse.ArgumentParser:
    """Run a tool up to its first look at the command line."""

    def capture(self, args=None, namespace=None):
        raise _Captured(self, sys.argv[1:] if args is None else args)

    with (
        mock.patch.dict(os.environ),
        mock.patch.object(sys, 'argv', [tool]),
        mock.patch.object(argparse.ArgumentParser, 'parse_known_args', capture),
    ):
        try:
            runpy.run_path(str(ROOT / tool), run_name='__main__')
        except _Captured as captured:
            parser, words = captured.args
            for word in words:  # a tool that is a sub-command of another parser
                parser = sub_parsers(parser).get(word, parser)
            return parser
    raise LookupError(f'{tool} reads no command line')
