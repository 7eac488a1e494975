import argparse
from pathlib import Path

import pytest

from mmc2fmae import cli
from mmc2fmae.cli.parsing import WORDS, Parser, parsers
from mmc2fmae.paths import expand_path, expand_values


@pytest.fixture(autouse=True)
def _variables(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    monkeypatch.setenv('DATA', '/data')
    monkeypatch.setenv('EMPTY', '')
    monkeypatch.delenv('NOPE', raising=False)


FORMS = {
    '~': '/home/me',
    '~/x': '/home/me/x',
    '$DATA': '/data',
    '$DATA/x': '/data/x',
    '${DATA}/x': '/data/x',
    '${DATA}x': '/datax',
    'a/$DATA/~/b': 'a//data/~/b',
    '~/$DATA/x': '/home/me//data/x',
    'rgb=~/x': 'rgb=/home/me/x',
    'ImageFolders.data_root=$DATA/x': 'ImageFolders.data_root=/data/x',
    'seem:~/code:$DATA/weights.pth': 'seem:/home/me/code:/data/weights.pth',
    'https://host/~/x?a=$DATA': 'https://host/~/x?a=$DATA',
    'mmc2fmae::mini/cls.py': 'mmc2fmae::mini/cls.py',
    'backup~/x~': 'backup~/x~',
    'cost$5.jpg': 'cost$5.jpg',
    r'^blocks\.(\d+)$': r'^blocks\.(\d+)$',
    '': '',
}


@pytest.mark.parametrize(('text', 'expected'), FORMS.items())
def test_home_and_variables_are_expanded(text, expected):
    assert expand_path(text) == expand_values(text) == expected
    assert expand_values(dict(a=[text, 1], b=(None, text))) == dict(
        a=[expected, 1], b=(None, expected)
    )
    if text and '://' not in text:
        assert expand_values(Path(text)) == Path(expected)


@pytest.mark.parametrize('value', [3, 0.5, None, True, [1, 2], {'a': 1}])
def test_values_that_are_no_text_stay(value):
    assert expand_values(value) == value


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('$NOPE/x', r'^\$NOPE/x: the variable NOPE is not set: set it, or write the path out$'),
        ('a=${NOPE}', 'the variable NOPE is not set'),
        ('$EMPTY/x', 'the variable EMPTY is empty'),  # /x is somewhere else
        ('~nobody_of_that_name/x', 'there is no user nobody_of_that_name'),
    ],
)
def test_what_cannot_be_expanded_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        expand_values(text)


def test_a_file_of_that_very_name_is_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('$RECYCLE', '~x'):
        Path(name).touch()
        assert expand_path(name) == name


def text_options():
    """Every option of every command that takes a text, with a command line that gives it."""
    skipped = (argparse._HelpAction, argparse._VersionAction, argparse._SubParsersAction)
    for parser in parsers(cli.parser()):
        for action in parser._actions:
            kind = getattr(action.type, '__name__', '')
            if isinstance(action, skipped) or action.nargs == 0 or action.choices:
                continue
            if kind not in ('int', 'float', 'at_least_one', 'whole_number', 'positive', 'share'):
                yield parser, action


@pytest.mark.parametrize(
    ('parser', 'action'), [pytest.param(p, a, id=f'{p.prog} {a.dest}') for p, a in text_options()]
)
def test_every_option_of_every_command_expands_paths(parser, action, capsys):
    """The option alone, in a parser of its own, as the other options may be required."""
    alone = Parser(prog='p')
    alone._add_action(action)
    option = action.option_strings[-1:]

    def given(text):
        return [f'{option[0]}={text}'] if option else [text]

    key = '' if action.dest in ('maps', 'data_prefix', 'cfg_options', 'set') else None
    text = 'key=$DATA/x' if key == '' else '$DATA/x'
    found = str(vars(alone.parse_args(given(text)))[action.dest])
    if action.dest in WORDS:
        assert '$DATA/x' in found
        return
    assert '/data/x' in found and '$' not in found
    with pytest.raises(SystemExit):
        alone.parse_args(given(text.replace('DATA', 'NOPE')))
    error = capsys.readouterr().err
    assert 'the variable NOPE is not set' in error and error.count('\n') == 1
    assert (option or [action.dest])[0] in error
