"""Numbers on the command line are those that an option can mean."""

import argparse

import pytest

from mmc2fmae import cli
from mmc2fmae.cli.parsing import at_least_one, parsers, positive, share, whole_number


@pytest.mark.parametrize(
    ('read', 'good', 'bad'),
    [
        (at_least_one, {'1': 1, '20': 20}, ['0', '-1', '1.5', 'x', '', 'nan']),
        (whole_number, {'0': 0, '7': 7}, ['-1', '1.5', 'x', '', 'nan']),
        (positive, {'1e-4': 1e-4, '3': 3.0}, ['0', '-1', 'nan', 'inf', 'x', '']),
        (share, {'0': 0.0, '0.5': 0.5, '1': 1.0}, ['-0.1', '1.1', 'nan', 'x', '']),
    ],
)
def test_numbers_out_of_range_are_refused(read, good, bad):
    assert {text: read(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match='expected a'):
            read(text)


def test_only_these_options_take_any_number():
    """Each is checked where it is used; those of scenes by SceneSpec."""
    free = set()
    for name, command in cli.COMMANDS.items():
        if name == 'scenes':
            continue
        parser = argparse.ArgumentParser()
        cli._module(command).add_arguments(parser)
        for part in parsers(parser):
            free |= {a.dest for a in part._actions if a.type in (int, float)}
    assert free == {'local_rank', 'block', 'mean', 'std'}


@pytest.mark.parametrize(
    'words',
    [
        ['knn', 'vit.pth', '--train', 'a', '--val', 'b', '--temperature', '0'],
        ['features', 'vit.pth', 'a', 'b', '--size', '0'],
        ['masks-to-coco', 'a', 'b', 'c.json', '--val-share', '20'],
        ['show-predictions', 'run', 'a', 'b', '--score', '30'],
        ['reproduce', 'run', 'table1', '--jobs', '0'],
        ['train', 'config.py', '--lr', '0'],
        ['label', 'a', 'b', '--threshold', 'nan'],
    ],
)
def test_a_number_that_means_nothing_is_one_line(words, capsys):
    with pytest.raises(SystemExit, match='2'):
        cli.main(words)
    said = capsys.readouterr().err
    assert words[-2] in said and 'expected a number' in said and said.count('\n') == 1
