"""The listing of the last time is used only where it is what a new one would be."""

import os
import random
import shutil
import time
from functools import partial

import pytest

from mmc2fmae.datasets import ImageFolders, MultiGranularDataset, listing_cache
from mmc2fmae.datasets.photograph_lists import require_unique_stems
from mmc2fmae.datasets.sample_tables import SampleTable
from mmc2fmae.errors import DatasetError
from tests.datasets.conftest import write_sample

TICK = 0.01
"""Seconds, longer than what the disk's clock counts in: what SETTLED is for."""


@pytest.fixture
def cache(tmp_path_factory, monkeypatch):
    """A cache folder of its own, for sets of any size that were written just now."""
    folder = tmp_path_factory.mktemp('cache')
    monkeypatch.setenv('XDG_CACHE_HOME', str(folder))
    monkeypatch.setattr(listing_cache, 'WORTH', 1)
    monkeypatch.setattr(listing_cache, 'SETTLED', 0)
    return folder / 'mmc2fmae/listings'


@pytest.fixture
def scans(monkeypatch):
    """The folders that are listed."""
    scanned, scan = [], listing_cache.scan_folder

    def spy(folder):
        scanned.append(folder)
        return scan(folder)

    monkeypatch.setattr(listing_cache, 'scan_folder', spy)
    return scanned


def samples(root, kind=MultiGranularDataset, **options):
    """Return what a data set holds, or the error that it stops with."""
    try:
        if kind is ImageFolders:
            return list(ImageFolders(str(root), 'train', pipeline=[], **options).data_list)
        return list(MultiGranularDataset(str(root), pipeline=[], **options).data_list)
    except (OSError, ValueError) as error:
        return f'{type(error).__name__}: {error}'


KINDS = [MultiGranularDataset, ImageFolders]


@pytest.mark.parametrize('kind', KINDS)
def test_nothing_is_listed_again_where_no_folder_has_changed(data_root, cache, scans, kind):
    (data_root / 'train/notes.txt').touch()
    first = samples(data_root, kind)
    (file,) = os.listdir(cache)
    assert len(first) == 6 and file.endswith('.listing')
    scans.clear()
    assert samples(data_root, kind) == first and not scans


def test_what_was_said_is_said_again(data_root, cache):
    def make(scan, say):
        scan(str(data_root))
        say('6 of them')
        return SampleTable.of(['a'])

    for _ in range(2):
        told = []
        listing_cache.cached_listing(dict(folder=str(data_root)), make, told.append)
        assert told == ['6 of them']
    assert len(os.listdir(cache)) == 1


def add(root):
    write_sample(root, 'n00000001/new')


def add_and_set_the_time_back(root):
    folders = [root / f'{g}train/n00000001' for g in ('', 'instance/', 'semantic/')]
    before = [os.stat(folder) for folder in folders]
    add(root)
    for folder, state in zip(folders, before, strict=True):
        os.utime(folder, ns=(state.st_atime_ns, state.st_mtime_ns))


def rename(root):
    for g, suffix in (('', 'JPEG'), ('instance/', 'png'), ('semantic/', 'png')):
        folder = root / f'{g}train/n00000000'
        (folder / f'img_0.{suffix}').rename(folder / f'other.{suffix}')


def link_a_folder(root):
    write_sample(root / 'elsewhere', 'n00000002/more')
    for g in ('', 'instance/', 'semantic/'):
        (root / f'{g}train/n00000001/in').symlink_to(root / f'elsewhere/{g}train/n00000002')


def swap_a_folder(root):
    for g in ('', 'instance/', 'semantic/'):
        folder = root / f'{g}train/n00000000'
        folder.rename(root / 'away')
        shutil.copytree(root / 'away', folder)
        shutil.rmtree(root / 'away')
    write_sample(root, 'n00000000/img_6')


CHANGES = {
    'added': add,
    'added, time set back': add_and_set_the_time_back,
    'photograph removed': lambda root: (root / 'train/n00000000/img_0.JPEG').unlink(),
    'map removed': lambda root: (root / 'semantic/train/n00000000/img_0.png').unlink(),
    'photograph without map': lambda root: shutil.copy(
        root / 'train/n00000000/img_0.JPEG', root / 'train/n00000000/x.JPEG'
    ),
    'twin': lambda root: (root / 'train/n00000000/img_0.png').touch(),
    'renamed': rename,
    'folder removed': lambda root: shutil.rmtree(root / 'train/n00000000'),
    'folder renamed': lambda root: (root / 'train/n00000000').rename(root / 'train/n00000009'),
    'folder linked': link_a_folder,
    'folder swapped': swap_a_folder,
    'link to a file': lambda root: (root / 'train/n00000000/l.JPEG').symlink_to('img_0.JPEG'),
    'link to nowhere': lambda root: (root / 'train/n00000000/l.JPEG').symlink_to('gone'),
    'maps gone': lambda root: shutil.rmtree(root / 'semantic'),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('change', CHANGES)
def test_every_change_is_seen(data_root, cache, monkeypatch, change, kind):
    first = samples(data_root, kind)
    assert len(first) == 6 and os.listdir(cache)
    time.sleep(TICK)
    CHANGES[change](data_root)
    found = samples(data_root, kind)
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache / 'none'))
    assert found == samples(data_root, kind)
    if kind is MultiGranularDataset or 'map' not in change:
        assert found != first


def test_random_changes_are_seen(data_root, cache, monkeypatch):
    draw = random.Random(0)
    for number in range(25):
        time.sleep(TICK)
        files = sorted(path for path in data_root.rglob('*') if path.is_file())
        match draw.randrange(4):
            case 0:
                write_sample(data_root, f'n0000000{draw.randrange(4)}/r{number}')
            case 1 if len(files) > 6:
                draw.choice(files).unlink()
            case 2:
                path = draw.choice(files)
                path.rename(path.with_name(f'm{number}{path.suffix}'))
        found = samples(data_root)
        with monkeypatch.context() as patch:
            patch.setattr(listing_cache, '_read', lambda *_: None)
            assert found == samples(data_root)


def test_a_link_that_leads_elsewhere_is_seen(data_root, tmp_path_factory, cache):
    other = tmp_path_factory.mktemp('other')
    write_sample(other, 'n0/only')
    root = tmp_path_factory.mktemp('links') / 'root'
    root.symlink_to(data_root)
    assert len(samples(root)) == 6
    root.unlink()
    root.symlink_to(other)
    assert samples(root) == [dict(path='n0/only.JPEG')]


def test_other_options_are_another_listing(data_root, cache, scans):
    for options in (
        {},
        dict(image_suffixes=('.jpeg', '.x')),
        dict(classes=['n00000000', 'n00000001']),
        dict(classes=['n00000001', 'n00000000']),
        dict(data_prefix=dict(rgb='train')),
    ):
        scans.clear()
        assert len(samples(data_root, **options)) == 6 and scans
    first, other = (
        [s['gt_label'] for s in samples(data_root, classes=names)]
        for names in (['n00000000', 'n00000001'], ['n00000001', 'n00000000'])
    )
    assert first == [0] * 3 + [1] * 3 and other == [1] * 3 + [0] * 3


@pytest.mark.parametrize('kind', KINDS)
def test_a_damaged_listing_is_made_anew(data_root, cache, scans, kind):
    expected = samples(data_root, kind)
    (file,) = cache.iterdir()
    content, draw = file.read_bytes(), random.Random(0)
    body = content.index(b'\n') + 1
    variants = [b'', b'[]\n', b'{}\n', b'[' * 100_000, b'null', content + b'x', content[:body]]
    variants += [content[: draw.randrange(len(content))] for _ in range(12)]
    for i in range(40):
        data = bytearray(content)
        data[draw.randrange(body if i % 2 else 0, len(data))] ^= 1 << draw.randrange(8)
        variants.append(bytes(data))
    for variant in variants:
        file.write_bytes(variant)
        scans.clear()
        assert samples(data_root, kind) == expected
        assert not scans or file.read_bytes() == content


@pytest.mark.parametrize(
    'why', ['changed just now', 'small', 'links', 'a broken link', 'no time', 'fuse', 'second']
)
def test_a_listing_that_might_grow_stale_is_not_kept(data_root, cache, monkeypatch, why):
    if why == 'changed just now':
        monkeypatch.setattr(listing_cache, 'SETTLED', 10**10)
    elif why == 'small':
        monkeypatch.setattr(listing_cache, 'WORTH', 7)
    elif why == 'links':
        write_sample(data_root / 'annex', 'a')
        (data_root / 'train/n00000000/img_0.JPEG').unlink()
        link = data_root / 'train/n00000000/img_0.JPEG'
        link.symlink_to(data_root / 'annex/train/a.JPEG')
    elif why == 'a broken link':
        (data_root / 'train/n00000000/notes.txt').symlink_to('gone')
    elif why == 'no time':
        os.utime(data_root / 'train', ns=(0, 0))
    elif why == 'fuse':
        monkeypatch.setattr(listing_cache, '_any_on_fuse', lambda folders: True)
    else:
        monkeypatch.setenv('LOCAL_RANK', '1')
    assert len(samples(data_root)) == 6
    assert not cache.exists()


def test_mounts_of_programs_are_known_by_their_place(monkeypatch, tmp_path):
    mounts = tmp_path / 'mounts'
    lines = [
        '/dev/a / ext4 rw',
        r's3 /my\040bucket fuse.s3fs rw',
        's3 /b fuse rw',
        'n /n fuseblk rw',
    ]
    mounts.write_text('\n'.join(lines))
    read = partial(open, mounts)
    monkeypatch.setattr(listing_cache, 'open', lambda _, **how: read(**how), raising=False)
    assert listing_cache._any_on_fuse(['/', '/my bucket/train/n0'])
    assert listing_cache._any_on_fuse(['/b'])
    assert not listing_cache._any_on_fuse(['/', '/my', '/n', '/my bucket2/train', str(tmp_path)])


def test_a_cache_that_cannot_be_written_does_no_harm(data_root, cache):
    cache.parent.mkdir()
    cache.write_text('a file where the folder should be')
    assert len(samples(data_root)) == 6


def test_a_user_without_a_home_lists_every_time(data_root, cache, monkeypatch):
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setattr('os.path.expanduser', lambda path: path)
    monkeypatch.chdir(data_root.parent)
    assert len(samples(data_root)) == 6 and not os.path.exists('~')


def test_what_is_said_comes_before_the_error(data_root, cache):
    def make(scan, say):
        say('6 of them')
        raise DatasetError('no maps')

    told = []
    with pytest.raises(DatasetError, match='no maps'):
        listing_cache.cached_listing({}, make, told.append)
    assert told == ['6 of them']


def test_photographs_of_one_stem_are_found_whatever_their_hashes(monkeypatch):
    monkeypatch.setattr('mmc2fmae.datasets.photograph_lists.hash', lambda _: 1, raising=False)
    require_unique_stems('root', ['a.jpg', 'b.jpg', 'b.jpg'])
    with pytest.raises(DatasetError, match=r'1 photographs have .* b\.jpg and b\.png'):
        require_unique_stems('root', ['a.jpg', 'b.jpg', 'b.png'])
