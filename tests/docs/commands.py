"""Check a command line of a page against the tools, configs and packages of the checkout."""

import argparse
import re
import shlex
from pathlib import Path

from tests.docs import fields, packages
from tests.docs.pages import ROOT
from tests.docs.parsers import parser_of, sub_parsers

# What pages use beside our own tools. Anything else at the start of a line is a slip of the pen.
FOREIGN = {'git', 'aws', 'cd', '.', 'python3', 'mkdocs', 'pre-commit', 'hf', 'sbatch'}
LAUNCHERS = {'python', 'bash', 'torchrun', 'taskset', 'nice'}
PLACEHOLDER = re.compile(r'\.\.\.|\[.*|.*\]|[A-Z][A-Z_]*')
ASSIGNMENT = re.compile(r'[A-Z][A-Z0-9_]*=')


def is_command(text: str) -> bool:
    """Tell whether code within a sentence is a command of ours."""
    first, *rest = [word for word in text.split() if not ASSIGNMENT.match(word)] or ['']
    return bool(_script(first) or (rest and first in {'make', 'pip', 'mmc2fmae', *LAUNCHERS}))


def check_line(text: str, whole: bool = True) -> tuple[list[str], list[str]]:
    """Check a line of shell.

    Args:
        text: The line.
        whole: Whether it can be typed as it stands. Else positional arguments may be missing and
            words in capitals or brackets stand for others.

    Returns:
        The tools that it starts, and what is wrong, one sentence each.
    """
    tools, problems = [], []
    for words in _split(text):
        tool, problem = _check_command(words, whole)
        tools += [tool] if tool else []
        problems += [problem] if problem else []
    return tools, problems


def check_options(words: list[str], tools: list[str]) -> list[str]:
    """Check options without their command: one of the tools must have each of them."""
    parsers = [part for tool in tools for part in _all_parsers(parser_of(tool))]
    known = {option for parser in parsers for option in parser._option_string_actions}
    return [
        f'none of {", ".join(tools)} has an option {word}'
        for word in words
        if word.startswith('--') and word.split('=')[0] not in known
    ]


def check_fields(settings: list[str], configs: list[str]) -> list[str]:
    """Check KEY=VALUE settings: one of the configs must have each key."""
    names = [setting.split('=')[0] for setting in settings]
    return [
        f'no config field {name} in {", ".join(configs) if len(configs) < 4 else "any config"}'
        for name in names
        if not any(fields.has_field(fields.read_config(config), name) for config in configs)
    ]


def _split(text: str) -> list[list[str]]:
    """Return the commands of a line as words, without comments and variables set before them."""
    commands = [[]]
    for word in shlex.split(text, comments=True):
        if word in {'&&', '||', '|', ';'}:
            commands.append([])
        elif commands[-1] or not ASSIGNMENT.match(word):
            commands[-1].append(word)
    return [command for command in commands if command]


def _check_command(words: list[str], whole: bool) -> tuple[str | None, str | None]:
    """Return the tool that a command starts, if it is one of ours, and what is wrong with it."""
    first = words[0]
    try:
        if first == 'make':
            return None, packages.check_make(words[1:])
        if first == 'pip':
            return None, packages.check_pip(words[1:])
        if first in {'python', 'python3'} and words[1:2] == ['-m']:
            return None, packages.check_module(words[2])
        if first == 'mmc2fmae':
            return first, _check_tool(first, words[1:], whole)
        for position, word in enumerate(words):
            script = _script(word)
            if script and (position == 0 or first in LAUNCHERS):
                tool, rest = _unfold(script, words[position + 1 :], whole)
                return tool, _check_tool(tool, rest, whole)
    except LookupError as error:
        return None, str(error.args[0])
    return None, None if first in FOREIGN else f'no such command: {first}'


def _script(word: str) -> str:
    """Return the script of tools/ that a word names, there or not; empty if it names none."""
    if re.fullmatch(r'tools/[\w/]+\.(py|sh)', word):
        return word
    return f'tools/{word}' if (ROOT / 'tools' / word).is_file() else ''


def _unfold(script: str, words: list[str], whole: bool) -> tuple[str, list[str]]:
    """Return the tool that a launch script starts, and with which words."""
    if script.endswith('.py'):
        return script, words
    if not (ROOT / script).is_file():
        raise LookupError(f'there is no {script}')
    text = (ROOT / script).read_text()
    names = re.search(r'^(?:\w+=\$\d ?)+$', text, re.MULTILINE)[0].split()
    names = [name.split('=')[0] for name in names]
    if len(words) < len(names) and whole:
        raise LookupError(f'{script} needs {" ".join(names)}')
    given = dict(zip(names, words, strict=False))
    if whole and not given['GPUS'].isdigit():
        raise LookupError(f'{script}: GPUS is {given["GPUS"]}, expected a number')
    name, line = re.search(r'/(\w+\.py)" (.*)$', text, re.MULTILINE).groups()
    rest = []
    for word in shlex.split(line):
        if not word.startswith('$'):
            rest.append(word)
        elif word[1:] in given:
            rest.append(given[word[1:]])
    return f'tools/{name}', [*rest, *words[len(names) :]]


def _check_tool(tool: str, words: list[str], whole: bool) -> str | None:
    """Return what is wrong with the words after a tool."""
    parser = parser_of(tool)
    if not whole:
        parser, words = _enter(parser, [w for w in words if not PLACEHOLDER.fullmatch(w)])
    missing = [
        word
        for word in words
        if re.match(r'(configs|tools)/', word) and not (ROOT / word.split('=')[0]).exists()
    ]
    if missing:
        return f'there is no {missing[0]}'
    if not whole:
        return next(iter(_unknown_options(parser, words)), None)
    said = []
    try:
        args = _parse(parser, words, said)
    except SystemExit:
        return f'{tool}: {said[0] if said else "stops"}'
    settings = [*(getattr(args, 'cfg_options', None) or {}), *(getattr(args, 'set', None) or [])]
    return next(iter(check_fields(settings, _configs(args))), None)


def _parse(
    parser: argparse.ArgumentParser, words: list[str], said: list[str]
) -> argparse.Namespace:
    """Parse words; what the parser says when it refuses them goes to ``said``."""

    def refuse(message: str):
        said.append(message)
        raise SystemExit(2)

    for part in _all_parsers(parser):
        part.error = refuse
    return parser.parse_args(words)


def _enter(parser: argparse.ArgumentParser, words: list[str]) -> tuple:
    """Follow the names of sub-commands; return the last one's parser and the words after it."""
    while below := sub_parsers(parser):
        if not words or words[0].startswith('-'):
            break
        if words[0] not in below:
            raise LookupError(f'{words[0]} is none of the commands {", ".join(below)}')
        parser, words = below[words[0]], words[1:]
    return parser, words


def _unknown_options(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    known = parser._option_string_actions
    return [
        f'{parser.prog} has no option {word}'
        for word in words
        if word.startswith('--') and word.split('=')[0] not in known
    ]


def _all_parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    below = [part for inner in sub_parsers(parser).values() for part in _all_parsers(inner)]
    return [parser, *below]


def _configs(args: argparse.Namespace) -> list[str]:
    """Return the configs that a command reads: its own, and that of the sets where it has one."""
    named = [Path(getattr(args, name, None) or '') for name in ('config', 'sets')]
    named = [path.relative_to(ROOT) if path.is_absolute() else path for path in named]
    ours = [str(path) for path in named if path.parts[:1] == ('configs',)]
    return ours or list(fields.config_files())
