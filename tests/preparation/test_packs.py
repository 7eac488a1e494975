import hashlib
import io
import shutil
import tarfile
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation import packs
from mmc2fmae.preparation.layout import label_info, write_map
from mmc2fmae.preparation.packs import pack, unpack, verify

MAPS = [f'{g}/train/{n}.png' for g in ('instance', 'semantic') for n in ('a/1', 'a/2', 'b/3')]


@pytest.fixture
def root(tmp_path):
    """Three photographs with both maps; a shard of 3 KiB holds those of one."""
    for seed, name in enumerate(MAPS):
        ids = np.random.default_rng(seed).integers(0, 9, (20, 30))
        write_map(tmp_path / 'root' / name, ids)
    for name in ('a/1', 'a/2', 'b/3'):
        path = tmp_path / f'root/train/{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (30, 20)).save(path)
    label_info(['x'] * 9, dict(kind='test')).write(tmp_path / 'root')
    (tmp_path / 'root/manifest_train.jsonl').write_text('{"path": "a/1.png"}\n')
    return tmp_path / 'root'


def make(root, out, **options):
    return pack(root, out, **dict(shard_size=3 * 1024, quiet=True) | options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*.*')}


def evil(tmp_path, *members):
    """A pack whose checksums are right and whose shard holds these members."""
    folder = tmp_path / 'evil'
    folder.mkdir()
    with tarfile.open(folder / 'labels-train-000000-of-000001.tar', 'w') as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (folder / 'labels.json').write_text('{}')
    lines = [f'{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n' for p in folder.iterdir()]
    (folder / 'SHA256SUMS').write_text(''.join(lines))
    return folder


def test_a_pack_brings_back_every_map_and_no_photograph(root, tmp_path):
    assert make(root, tmp_path / 'pack') == 3
    shards = [f'labels-train-00000{i}-of-000003.tar' for i in range(3)]
    assert names(tmp_path / 'pack') == sorted(
        ['README.txt', 'SHA256SUMS', 'labels.json', 'manifest_train.jsonl', *shards]
    )
    with tarfile.open(tmp_path / 'pack' / shards[1]) as archive:
        assert archive.getnames() == ['instance/train/a/2.png', 'semantic/train/a/2.png']
    assert unpack(tmp_path / 'pack', tmp_path / 'new', quiet=True) == 6
    expected = {name: data for name, data in files(root).items() if not name.startswith('train/')}
    assert files(tmp_path / 'new') == expected
    assert 'Label maps of 3 photographs (train)' in (tmp_path / 'pack/README.txt').read_text()


def test_checksums_are_those_of_the_usual_tool(root, tmp_path):
    make(root, tmp_path / 'pack')
    for line in (tmp_path / 'pack/SHA256SUMS').read_text().splitlines():
        code, name = line.split('  ')
        assert hashlib.sha256((tmp_path / 'pack' / name).read_bytes()).hexdigest() == code
    assert len(verify(tmp_path / 'pack', quiet=True)) == 6


def test_equal_maps_give_equal_bytes_wherever_and_whenever_they_were_written(root, tmp_path):
    make(root, tmp_path / 'pack')
    shutil.copytree(root, tmp_path / 'copy')
    for name in reversed(MAPS):  # other times, another order in the folder
        data = (tmp_path / 'copy' / name).read_bytes()
        (tmp_path / 'copy' / name).unlink()
        (tmp_path / 'copy' / name).write_bytes(data)
        (tmp_path / 'copy' / name).chmod(0o600)
    make(tmp_path / 'copy', tmp_path / 'again')
    assert files(tmp_path / 'pack') == files(tmp_path / 'again')


def test_an_interrupted_pack_shows_and_goes_on(root, tmp_path, monkeypatch):
    out = tmp_path / 'pack'
    write, written = packs._write_shard, []

    def interrupted(root, shard, path, bar):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(shard.name)
        return write(root, shard, path, bar)

    monkeypatch.setattr(packs, '_write_shard', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(root, out)
    with pytest.raises(DatasetError, match='not finished'):
        verify(out, quiet=True)
    damaged = out / written[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b'x')
    monkeypatch.setattr(packs, '_write_shard', lambda *a: written.append(a[1].name) or write(*a))
    make(root, out)
    assert written[2:] == [written[0], 'labels-train-000002-of-000003.tar']  # the second was kept
    make(root, tmp_path / 'whole')
    assert files(out) == files(tmp_path / 'whole')
    with pytest.raises(DatasetError, match='holds a finished pack'):
        make(root, out)


def test_a_pack_of_other_maps_is_not_continued(root, tmp_path, monkeypatch):
    monkeypatch.setattr(packs, '_write_shard', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(root, tmp_path / 'pack')
    monkeypatch.undo()
    write_map(root / MAPS[0], np.ones((20, 30)))
    with pytest.raises(DatasetError, match='unfinished pack of other maps'):
        make(root, tmp_path / 'pack')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/notes.txt').touch()
    with pytest.raises(DatasetError, match='is not empty'):
        make(root, tmp_path / 'full')


def test_half_a_shard_is_never_left(root, tmp_path, monkeypatch):
    monkeypatch.setattr(packs.os, 'replace', lambda *_: 1 / 0)
    plan = packs._cut(root, 'train', 10**9)
    (tmp_path / 'out').mkdir()
    with pytest.raises(ZeroDivisionError), packs.progress_bar(1, 'B', quiet=True) as bar:
        packs._write_shard(root, plan.shards[0], tmp_path / 'out/x.tar', bar)
    assert names(tmp_path / 'out') == []


def test_damage_is_named_with_both_checksums(root, tmp_path):
    make(root, tmp_path / 'pack')
    path = tmp_path / 'pack/labels-train-000001-of-000003.tar'
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / 'pack/labels-train-000002-of-000003.tar').unlink()
    (tmp_path / 'pack/labels-train-000009-of-000003.tar').touch()
    for call in (verify, lambda *a, **k: unpack(a[0], tmp_path / 'new', **k)):
        with pytest.raises(DatasetError) as error:
            call(tmp_path / 'pack', quiet=True)
        text = str(error.value)
        assert f'000001-of-000003.tar is damaged: SHA-256 {found}, expected {expected}' in text
        assert '000002-of-000003.tar is missing' in text
        assert '000009-of-000003.tar is not listed' in text
    assert not (tmp_path / 'new').exists()
    (tmp_path / 'pack/SHA256SUMS').write_text(f'{expected}  ../labels.json\n')
    with pytest.raises(DatasetError, match='SHA256SUMS is damaged'):
        verify(tmp_path / 'pack', quiet=True)


def member(name, kind=tarfile.REGTYPE, link=''):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    'bad',
    [
        member('../evil.png'),
        member('instance/train/../../../evil.png'),
        member('/tmp/evil.png'),
        member('instance/evil.png'),
        member('train/evil.png'),
        member('instance/train/evil.sh'),
        member('instance/train/evil.png', tarfile.SYMTYPE, '/etc/passwd'),
        member('instance/train/evil.png', tarfile.LNKTYPE, 'instance/train/good.png'),
        member('instance/train', tarfile.DIRTYPE),
        member('instance/train/evil.png', tarfile.FIFOTYPE),
    ],
    ids=lambda info: f'{info.name} {info.type}',
)
def test_evil_shards_write_nothing(root, tmp_path, bad):
    good = (member('instance/train/good.png'), (root / MAPS[0]).read_bytes())
    data = b'' if bad.type != tarfile.REGTYPE else good[1]
    before = set(tmp_path.rglob('*'))
    folder = evil(tmp_path, good, (bad, data))
    with pytest.raises(DatasetError, match='is no label map'):
        unpack(folder, tmp_path / 'deep/er/new', quiet=True)
    assert set(tmp_path.rglob('*')) - before == {folder, *folder.iterdir()}


def test_what_is_no_map_is_neither_packed_nor_unpacked(root, tmp_path):
    shutil.copy(root / 'train/a/1.png', root / MAPS[0])  # a photograph
    with pytest.raises(DatasetError, match=r'instance/train/a/1\.png is no PNG with one channel'):
        make(root, tmp_path / 'pack')
    folder = evil(tmp_path, (member('instance/train/x.png'), b'no image'))
    with pytest.raises(DatasetError, match=r'instance/train/x\.png is no PNG with one channel'):
        unpack(folder, tmp_path / 'new', quiet=True)


def test_missing_maps_are_named_before_anything_is_written(root, tmp_path):
    (root / MAPS[4]).unlink()
    with pytest.raises(DatasetError, match=r'(?s)1 of 3 photographs have only some.*a/2\.png'):
        make(root, tmp_path / 'pack')
    with pytest.raises(DatasetError, match="has no maps of 'val'"):
        make(root, tmp_path / 'pack', splits=['val'])
    (root / 'labels.json').unlink()
    with pytest.raises(DatasetError, match=r'labels\.json is missing'):
        make(root, tmp_path / 'pack')
    assert not (tmp_path / 'pack').exists()


def test_unpacking_goes_on_but_replaces_no_other_map(root, tmp_path):
    make(root, tmp_path / 'pack')
    unpack(tmp_path / 'pack', tmp_path / 'new', quiet=True)
    (tmp_path / 'new' / MAPS[1]).unlink()
    unpack(tmp_path / 'pack', tmp_path / 'new', quiet=True)
    assert (tmp_path / 'new' / MAPS[1]).read_bytes() == (root / MAPS[1]).read_bytes()
    (tmp_path / 'new' / MAPS[2]).write_bytes(b'mine')
    with pytest.raises(DatasetError, match=r'b/3\.png is there already and differs'):
        unpack(tmp_path / 'pack', tmp_path / 'new', quiet=True)
    assert (tmp_path / 'new' / MAPS[2]).read_bytes() == b'mine'
    (tmp_path / 'new/labels.json').write_text('{}')
    with pytest.raises(DatasetError, match='maps of two sources do not mix'):
        unpack(tmp_path / 'pack', tmp_path / 'new', quiet=True)


def test_several_splits_and_one_granularity(root, tmp_path):
    shutil.rmtree(root / 'semantic')
    shutil.copytree(root / 'instance/train', root / 'instance/val')
    assert make(root, tmp_path / 'pack', splits=['train', 'val'], shard_size=10**9) == 6
    assert [n for n in names(tmp_path / 'pack') if n.endswith('.tar')] == [
        'labels-train-000000-of-000001.tar', 'labels-val-000000-of-000001.tar',
    ]  # fmt: skip
    assert unpack(tmp_path / 'pack', tmp_path / 'new', quiet=True) == 6


def test_room_is_checked_before_a_shard_is_written(root, tmp_path, monkeypatch):
    usage = shutil.disk_usage(root)
    monkeypatch.setattr('shutil.disk_usage', lambda _: usage._replace(free=5000))
    with pytest.raises(DatasetError, match='for the pack: free some'):
        make(root, tmp_path / 'pack')
    assert not list((tmp_path / 'pack').glob('*.tar'))


def header(name, size, kind=tarfile.REGTYPE, **fields):
    """The header of a member that claims a size, without the data."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    member.pax_headers = fields
    return member.tobuf(tarfile.GNU_FORMAT if not fields else tarfile.PAX_FORMAT)


@pytest.mark.parametrize(
    'data',
    [
        *(header('semantic/train/x.png', size) for size in (2**28 + 1, 2**31, 2**40)),
        *(header('semantic/train/x.png', size, tarfile.GNUTYPE_SPARSE) for size in (64, 2**40)),
        *(header('x', size, kind) for size in (2**31, 2**40) for kind in (
            tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)),
        header('semantic/train/x.png', 0, **{
            'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': str(2**40),
            'GNU.sparse.name': 'semantic/train/x.png'}) + b'0\n'.ljust(512, b'\0'),
        header('semantic/train/x.png', 0, **{
            'GNU.sparse.size': str(2**40), 'GNU.sparse.map': f'0,0,{2**40},0'}),
    ],
)  # fmt: skip
def test_a_member_larger_than_a_map_is_refused_before_it_is_read(data, tmp_path):
    folder = evil(tmp_path)
    shard = folder / 'labels-train-000000-of-000001.tar'
    shard.write_bytes(data + b'\0' * 1024)
    lines = [
        f'{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n'
        for p in (shard, folder / 'labels.json')
    ]
    (folder / 'SHA256SUMS').write_text(''.join(lines))
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r'labels-train-000000-of-000001\.tar'):
        unpack(folder, tmp_path / 'out', quiet=True)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert not list((tmp_path / 'out').glob('**/*.png'))
