import multiprocessing
import os
import shutil
import signal
import tarfile

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation import bundling
from mmc2fmae.preparation.bundling import verify_bundle, write_bundle
from mmc2fmae.preparation.folders import Layout
from mmc2fmae.preparation.layout import label_info

FOLDERS = dict(rgb='train', instance='instance/train', semantic='semantic/train')


def write(root, out, folders=FOLDERS, **options):
    return write_bundle(Layout(str(root), folders), out, quiet=True, **dict(per_shard=2) | options)


def content(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob('*') if p.is_file()}


def killed_at(number, root, out):
    """Write in a process that kill -9 ends before a file is added to a shard."""
    whole, added = bundling._add, []

    def add(*arguments):
        if len(added) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        added.append(arguments)
        return whole(*arguments)

    bundling._add = add
    write(root, out)


def test_a_bundle_holds_the_bytes_of_the_files_side_by_side(data_root, tmp_path):
    label_info(['sky', 'sea'], dict(kind='test')).write(data_root)
    folder = write(data_root, tmp_path / 'out', per_shard=6)
    assert (tmp_path / 'out/labels.json').read_bytes() == (data_root / 'labels.json').read_bytes()
    with tarfile.open(folder / '000000.tar') as archive:
        names = archive.getnames()
        assert len(names) == 18
        assert [name.partition('.')[2] for name in names[:3]] == [
            *('JPEG', 'instance.png', 'semantic.png')
        ]
        assert len({name.partition('.')[0] for name in names[:3]}) == 1
        for name in names:
            stem, _, kind = name.partition('.')
            source = dict(JPEG=f'train/{stem}.JPEG').get(
                kind, f'{kind.partition(".")[0]}/train/{stem}.png'
            )
            assert archive.extractfile(name).read() == (data_root / source).read_bytes()
    assert sorted(names[::3]) != names[::3]  # dealt out at random


def test_a_killed_bundle_goes_on_and_equals_an_undisturbed_one(data_root, tmp_path):
    process = multiprocessing.get_context('fork').Process(
        target=killed_at, args=(10, data_root, tmp_path / 'out')
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    first = (tmp_path / 'out/train/000000.tar').stat().st_mtime_ns
    assert not (tmp_path / 'out/train/bundle.json').exists()
    write(data_root, tmp_path / 'out')
    assert (tmp_path / 'out/train/000000.tar').stat().st_mtime_ns == first  # kept
    write(data_root, tmp_path / 'whole')
    assert content(tmp_path / 'out') == content(tmp_path / 'whole')
    with pytest.raises(DatasetError, match='holds a finished bundle'):
        write(data_root, tmp_path / 'out')


def test_shards_of_files_that_have_changed_since_are_written_anew(data_root, tmp_path, monkeypatch):
    monkeypatch.setattr(bundling, '_finish', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(data_root, tmp_path / 'out')
    monkeypatch.undo()
    with pytest.raises(DatasetError, match=r'unfinished bundle of something else \(per_shard diff'):
        write(data_root, tmp_path / 'out', per_shard=3)
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(
        data_root / 'semantic/train/n00000000/img_4.png'
    )
    write(data_root, tmp_path / 'out')
    write(data_root, tmp_path / 'whole')
    assert content(tmp_path / 'out') == content(tmp_path / 'whole')


def test_several_processes_write_what_one_writes(data_root, tmp_path, monkeypatch):
    write(data_root, tmp_path / 'one')
    monkeypatch.setattr('mmc2fmae.parallel.CHUNK', 1)
    monkeypatch.setattr('mmc2fmae.parallel.available_cores', lambda: 2)
    write(data_root, tmp_path / 'two', per_shard=2)
    assert content(tmp_path / 'one') == content(tmp_path / 'two')


def test_what_cannot_be_bundled_is_said_before_anything_is_written(data_root, tmp_path):
    out = tmp_path / 'out'
    (out / 'train').mkdir(parents=True)
    (out / 'train/notes.txt').touch()
    with pytest.raises(DatasetError, match='train is not empty: choose another folder'):
        write(data_root, out)
    shutil.rmtree(out)
    with pytest.raises(DatasetError, match=r'the rgb folder is \.\./x: expected one below'):
        write(data_root, out, dict(rgb='../x'))
    label_info(['sky', 'sea'], {}).write(data_root)
    label_info(['cat', 'dog'], {}).write(out)
    with pytest.raises(DatasetError, match=r'out/labels\.json differs from .*/labels\.json'):
        write(data_root, out)
    (data_root / 'semantic/train/n00000001/img_3.png').unlink()
    with pytest.raises(FileNotFoundError, match='1 of 6 photographs have no semantic map'):
        write(data_root, tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


def test_maps_that_may_be_turned_are_refused_here_and_not_at_every_start(data_root, tmp_path):
    photo = data_root / 'train/n00000001/img_3.JPEG'
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(photo) as image:
        image.save(photo, exif=exif)
    with pytest.raises(DatasetError, match='1 of 6 photographs have maps and an EXIF'):
        write(data_root, tmp_path / 'out')


def test_photographs_that_cannot_be_read_are_named(data_root, tmp_path):
    photo = data_root / 'train/n00000001/img_3.JPEG'
    photo.write_bytes(photo.read_bytes()[:300])
    message = r'1 of 6 photographs cannot be read, first .*img_3\.JPEG .*list the others: --ann-f'
    with pytest.raises(DatasetError, match=message):
        write(data_root, tmp_path / 'out')


def test_a_disk_without_room_is_said(data_root, tmp_path, monkeypatch):
    monkeypatch.setattr('shutil.disk_usage', lambda _: type('Usage', (), dict(free=10)))
    with pytest.raises(DatasetError, match=r'MiB free, expected .* for the bundle: free some'):
        write(data_root, tmp_path / 'out')


def test_damaged_shards_are_named_with_both_checksums(data_root, tmp_path):
    folder = write(data_root, tmp_path / 'out')
    assert len(verify_bundle(str(folder), quiet=True).shards) == 3
    path = folder / '000001.tar'
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DatasetError, match=r'1 of 3 shards .* 000001\.tar \(SHA-256 \w+, expected'):
        verify_bundle(str(folder), quiet=True)
    with pytest.raises(DatasetError, match=r'is no bundle: expected a folder with bundle\.json'):
        verify_bundle(str(data_root), quiet=True)
