import os
import random
from pathlib import Path

import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import (
    IMAGE_SUFFIXES,
    list_files,
    list_folders,
    list_photographs,
    missing_files,
    scan_folder,
)
from mmc2fmae.images.opening import FORMATS


def touch(root, *names):
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def link(root, name, target):
    """Make ``ROOT/name`` a link to ``ROOT/target``, relative as people write them."""
    path = Path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(Path(root, target), path.parent))


LINKS = {  # links, then photographs and folders met again of a tree with a/1.jpg, b/2.jpg, 3.jpg
    'to itself': ({'a/a': 'a'}, [], ['a/a']),
    'to the folder above': ({'a/up': '.'}, [], ['a/up']),
    'to far above': ({'a/out': '..'}, [], ['a/out']),
    'in a circle': ({'a/b': 'b', 'b/a': 'a'}, [], ['a/b', 'b/a']),
    'to a sibling, sorted before it': ({'A': 'b'}, [], ['A']),
    'twice to one place': ({'c': '../store', 'd': '../store'}, ['c/5.jpg', 'c/in/6.jpg'], ['d']),
    'to a place and into it': (
        {'c': '../store/in', 'd': '../store'}, ['c/6.jpg', 'd/5.jpg'], ['d/in']
    ),
    'elsewhere': ({'z/s': '../store'}, ['z/s/5.jpg', 'z/s/in/6.jpg'], []),
    'elsewhere, from where a link leads back': (
        {'s': '../store', '../store/back': '.'}, ['s/5.jpg', 's/in/6.jpg'], ['s/back']
    ),
    'to a photograph': ({'4.jpg': '../store/5.jpg'}, ['4.jpg'], []),
}  # fmt: skip


@pytest.mark.parametrize('through_a_link', [False, True])
@pytest.mark.parametrize('case', LINKS)
def test_a_folder_is_listed_once_whatever_links_lead_to_it(tmp_path, capsys, case, through_a_link):
    links, more, again = LINKS[case]
    root = tmp_path / 'data/photos'
    touch(root, 'a/1.jpg', 'b/2.jpg', '3.jpg')
    touch(tmp_path / 'data/store', '5.jpg', 'in/6.jpg')
    for name, target in links.items():
        link(root, name, target)
    if through_a_link:
        (tmp_path / 'there').symlink_to(root)
        root = tmp_path / 'there'
    assert list_photographs(root) == sorted(['a/1.jpg', 'b/2.jpg', '3.jpg', *more])
    assert scan_folder(root).again == again
    said = f'{len(again)} links to folders met already (first {again[0]})' if again else ''
    assert said in capsys.readouterr().err


@pytest.mark.parametrize('seed', range(40))
def test_random_trees_give_every_photograph_once_in_any_order_of_the_disk(
    tmp_path, monkeypatch, seed
):
    """What real folders hold is known by construction; links between them add nothing."""
    draw = random.Random(seed)
    folders = ['']
    for i in range(draw.randint(1, 8)):
        folders.append(os.path.join(draw.choice(folders), f'{draw.choice("abAB")}{i}'))
    expected, hidden = [], 0
    for i in range(draw.randint(0, 15)):
        name = os.path.join(draw.choice(folders), f'{i}{draw.choice(IMAGE_SUFFIXES)}')
        touch(tmp_path, name.upper() if name == os.path.basename(name) else name)
        expected.append(name.upper() if name == os.path.basename(name) else name)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        if draw.random() < 0.4:
            kind = draw.choice(['.DS_Store', '.ipynb_checkpoints/1.jpg', '@eaDir/1.jpg', '._1.jpg'])
            touch(tmp_path, os.path.join(folder, kind))
            hidden += 1
    links = draw.randint(0, 8)
    for i in range(links):
        link(tmp_path, os.path.join(draw.choice(folders), f'l{i}'), draw.choice(folders))
    found = scan_folder(tmp_path)
    assert list_photographs(tmp_path, say=str) == sorted(expected)
    assert (len(found.again), len(found.hidden), found.broken) == (links, hidden, [])
    assert found.folders == sorted(folders[1:])
    scandir = os.scandir

    class Reversed(list):
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

    monkeypatch.setattr(
        'mmc2fmae.files.os.scandir', lambda path: Reversed(reversed(list(scandir(path))))
    )
    assert scan_folder(tmp_path) == found


LEFT_BEHIND = (
    '.DS_Store', '._1.jpg', '.hidden.jpg', '.ipynb_checkpoints/1.jpg', '__MACOSX/1.jpg',
    '@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg', 'Thumbs.db', 'thumbs.DB', 'desktop.ini',
    '$RECYCLE.BIN/1.jpg', 'lost+found/1.jpg', 'System Volume Information/1.jpg',
    '.Trash-1000/1.jpg', '#recycle/1.jpg', '.git/annex/1.jpg',
)  # fmt: skip


@pytest.mark.parametrize('where', ['', 'cat/'])
@pytest.mark.parametrize('name', LEFT_BEHIND)
def test_what_systems_leave_behind_is_no_photograph_and_no_class(tmp_path, capsys, where, name):
    touch(tmp_path, 'cat/1.jpg', where + name)
    assert list_files(tmp_path) == list_photographs(tmp_path) == ['cat/1.jpg']
    assert list_folders(tmp_path) == ['cat']
    first = where + name.split('/')[0]
    assert f'not taken: 1 hidden or of a system (first {first})' in capsys.readouterr().err


def test_a_folder_below_a_hidden_one_is_listed_when_it_is_asked_for(tmp_path):
    touch(tmp_path / '.cache/set', 'a/1.jpg')
    assert list_photographs(tmp_path / '.cache/set') == ['a/1.jpg']


def test_suffixes_are_those_of_the_reader_in_any_case(tmp_path, capsys):
    Image.init()
    read = {s for s, name in Image.registered_extensions().items() if name in (*FORMATS, 'MPO')}
    assert read - {'.pfm'} <= set(IMAGE_SUFFIXES)  # floats without a scale are no photographs
    assert {'.jpg', '.jfif', '.png', '.tif', '.webp', '.avif', '.mpo'} <= set(IMAGE_SUFFIXES)
    forms = (str, str.title, str.upper)
    names = {f'{i}{form(s)}' for i, s in enumerate(IMAGE_SUFFIXES) for form in forms}
    touch(tmp_path, *names)
    assert list_photographs(tmp_path) == sorted(names)
    assert capsys.readouterr().err == ''


def test_what_is_not_taken_is_counted_by_suffix(tmp_path, capsys):
    touch(tmp_path, '1.jpg', '2.heic', '3.HEIC', 'a/4.txt', 'README', '.DS_Store')
    assert list_photographs(tmp_path) == ['1.jpg']
    assert capsys.readouterr().err == (
        f'{tmp_path}: 1 photographs; not taken: 2 .heic, 1 .txt, 1 without suffix, '
        '1 hidden or of a system (first .DS_Store)\n'
    ).replace('1 .txt, 1 without suffix', '1 without suffix, 1 .txt')
    touch(tmp_path, *(f'x.{i:02}' for i in range(12)))
    told = []
    list_photographs(tmp_path, say=told.append)
    assert len(told) == 1 and ', 7 others, 1 hidden' in told[0]


@pytest.mark.parametrize('name', ['1.jpg', 'b/2.PNG', 'cat'])
def test_photographs_that_were_not_fetched_are_named(tmp_path, name):
    touch(tmp_path, 'a/1.jpg')
    link(tmp_path, name, 'annex/gone')
    with pytest.raises(DatasetError, match=rf'1 links lead nowhere, first {name}: bring back'):
        list_photographs(tmp_path)
    assert list_files(tmp_path) == ['a/1.jpg']
    assert missing_files([tmp_path / name, tmp_path / 'a/1.jpg']) == [str(tmp_path / name)]


def test_a_link_to_itself_is_broken_and_a_folder_that_is_not_there_is_empty(tmp_path):
    (tmp_path / '1.jpg').symlink_to('1.jpg')
    assert scan_folder(tmp_path).broken == ['1.jpg']
    assert list_files(tmp_path / 'none') == list_folders(tmp_path / 'none') == []


def test_a_folder_that_may_not_be_read_is_an_error_not_a_loss(tmp_path, monkeypatch):
    touch(tmp_path, 'a/1.jpg', 'b/2.jpg')
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('b'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr('mmc2fmae.files.os.scandir', refuse)
    with pytest.raises(PermissionError, match='b'):
        list_photographs(tmp_path)
