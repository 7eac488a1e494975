import os
import random
import re

import pytest

from mmc2fmae.datasets.photograph_lists import (
    find_entries,
    match_entries,
    read_photograph_list,
    require_unique_stems,
)
from mmc2fmae.errors import DatasetError
from tests.test_listing import touch

CLASSES = ['ant/000.jpg', 'ant/001.jpg', 'cat/000.jpg', 'cat/001.jpg', 'cat/big/002.JPEG']
FOUND = {  # an entry of a list, and the photograph of CLASSES that it means
    'ant/000.jpg': 0,
    './cat/000.jpg': 2,
    'cat//001.jpg': 3,
    'train/cat/001.jpg': 3,  # a longer path
    '/elsewhere/train/cat/001.jpg': 3,
    '/data/train/ant/001.jpg': 1,
    'cat\\001.jpg': 3,  # written on Windows
    'cat/001': 3,  # a path without suffix
    'cat/001.png': 3,  # the photographs were converted
    'cat/001.JPG': 3,
    'big/002.JPEG': 4,
    '002.JPEG': 4,  # a name, a stem
    '002': 4,
}
NONE = ('dog/000.jpg', 'cat/002.JPEG', '003.jpg', 'cat', 'cat/0000.jpg', 'at/000.jpg')
SEVERAL = {
    '000.jpg': 'ant/000.jpg, cat/000.jpg',
    '001': 'ant/001.jpg, cat/001.jpg',
    '000.png': 'ant/000.jpg, cat/000.jpg',
}


@pytest.mark.parametrize(('entry', 'index'), FOUND.items())
def test_an_entry_is_the_one_photograph_that_fits(entry, index):
    assert match_entries('l.txt', [entry], '/data/train', CLASSES) == ({entry: index}, [])


@pytest.mark.parametrize('entry', NONE)
def test_an_entry_of_no_photograph_is_returned(entry):
    assert match_entries('l.txt', [entry], '/data/train', CLASSES) == ({}, [entry])


@pytest.mark.parametrize(('entry', 'both'), SEVERAL.items())
def test_an_entry_of_several_photographs_is_refused_by_name(entry, both):
    message = f'^l.txt: {entry} may be {both} of /data/train: write paths relative to /data/train$'
    with pytest.raises(DatasetError, match=message):
        match_entries('l.txt', [entry], '/data/train', CLASSES)


def test_an_exact_name_goes_before_its_stem():
    names = ['0.jpg', '0.png', 'sub/0.jpg']
    assert match_entries('l', ['0.png', '0.jpg', 'sub/0.jpg'], 'r', names)[0] == {
        '0.png': 1, '0.jpg': 0, 'sub/0.jpg': 2
    }  # fmt: skip
    with pytest.raises(DatasetError, match=r'0 may be 0\.jpg, 0\.png, sub/0\.jpg'):
        match_entries('l', ['0'], 'r', names)


def test_two_entries_of_one_photograph_are_refused():
    with pytest.raises(DatasetError, match=r'cat/1\.jpg and dog/1\.jpg are both 1\.jpg of r'):
        match_entries('l', ['cat/1.jpg', 'dog/1.jpg'], 'r', ['1.jpg'])


def test_accents_and_dots_in_names():
    names = ['caf\u00e9/a.v2.jpg', 'b.v2.tar.png']
    entries = ['cafe\u0301/a.v2.jpg', 'b.v2.tar']
    assert match_entries('l', entries, 'r', names)[0] == {entries[0]: 0, entries[1]: 1}


@pytest.mark.parametrize('seed', range(40))
def test_random_trees_and_lists(tmp_path, seed):
    """By construction: paths always fit; a stem or name does where no other folder has it."""
    draw = random.Random(seed)
    names = sorted(
        {
            draw.choice(['', 'a/', 'b/', 'a/b/']) + draw.choice('0123456') + suffix
            for suffix in draw.choices(['.jpg', '.png'], k=draw.randint(1, 12))
        }
    )
    wanted = draw.sample(names, draw.randint(1, len(names)))
    path = tmp_path / 'list.txt'
    path.write_text(''.join(f'{name}\n' for name in wanted))
    assert [names[i] for i in find_entries(path, 'r', names)] == wanted
    for form in (os.path.basename, lambda n: os.path.splitext(os.path.basename(n))[0]):
        same = [n for n in names if form(n) == form(wanted[0])]
        path.write_text(form(wanted[0]))
        exact = form(wanted[0]) in names  # a path itself, of a photograph that is in no folder
        if len(same) == 1 or exact:
            (index,) = find_entries(path, 'r', names)
            assert names[index] == (form(wanted[0]) if exact else same[0])
        else:
            with pytest.raises(DatasetError, match=f'may be {re.escape(", ".join(same))} of r'):
                find_entries(path, 'r', names)


def test_missing_photographs_are_counted_and_the_first_five_named(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_text('\ufeffant/000.jpg\r\n' + ''.join(f'{i}.jpg  \r\n' for i in range(10, 17)))
    message = (
        r'^.*list\.txt: 7 of 8 photographs are not in r, first 10\.jpg, 11\.jpg, 12\.jpg, 13\.jpg, '
        r'14\.jpg and 2 more: bring them back, or take them out of the list$'
    )
    with pytest.raises(DatasetError, match=message):
        find_entries(path, 'r', CLASSES)
    path.write_text('\n \n')
    with pytest.raises(DatasetError, match='is empty: expected a photograph a line'):
        find_entries(path, 'r', CLASSES)


def test_a_list_is_read_in_its_order_and_folders_are_listed_only_if_need_be(tmp_path, monkeypatch):
    touch(tmp_path / 'p', 'b/1.jpg', 'a/2.JPG')
    path = tmp_path / 'list.txt'
    for text in ('./b/1.jpg\na/2.JPG\n', 'b/1\n2.JPG\n', f'{tmp_path}/p/b/1.jpg\na/2\n'):
        path.write_text(text)
        assert read_photograph_list(path, tmp_path / 'p') == ['b/1.jpg', 'a/2.JPG']
    path.write_text('b/1.jpg\n')
    monkeypatch.setattr('mmc2fmae.files.scan_folder', None)
    assert read_photograph_list(path, tmp_path / 'p') == ['b/1.jpg']


@pytest.mark.parametrize('entry', ['b/1.jpg', 'b', '../q/3.jpg'])
def test_a_listed_photograph_that_is_gone_is_named(tmp_path, entry):
    touch(tmp_path, 'p/a/2.JPG', 'q/3.jpg')
    (tmp_path / 'p/b').mkdir()
    (tmp_path / 'list.txt').write_text(f'a/2.JPG\n{entry}\n')
    with pytest.raises(DatasetError, match=rf'1 of 2 photographs are not in .*p, first {entry}:'):
        read_photograph_list(tmp_path / 'list.txt', tmp_path / 'p')


def test_entries_that_repeat_others_are_said_and_used_as_often(tmp_path, capsys):
    touch(tmp_path, 'p/a.jpg', 'p/b.jpg')
    (tmp_path / 'list.txt').write_text('a.jpg\nb.jpg\n./a.jpg\na.jpg\n')
    names = ['a.jpg', 'b.jpg', 'a.jpg', 'a.jpg']
    assert read_photograph_list(tmp_path / 'list.txt', tmp_path / 'p') == names
    assert find_entries(tmp_path / 'list.txt', 'p', ['b.jpg', 'a.jpg']) == [1, 0, 1, 1]
    assert capsys.readouterr().err.count('list.txt: 2 entries repeat others') == 1


def test_photographs_that_would_share_maps_are_named():
    require_unique_stems('r', ['a/0.jpg', 'b/0.png', '0.jpg', '0.v2.jpg', '0.jpg'])
    with pytest.raises(
        DatasetError, match=r'^r: 2 photographs .*: a/0\.jpg and a/0\.png, 1\.A and '
    ):
        require_unique_stems('r', ['a/0.jpg', 'a/0.png', '1.A', '1.a'])
