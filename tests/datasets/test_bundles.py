import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

from mmc2fmae.datasets import MultiGranularDataset, bundles
from mmc2fmae.datasets.bundles import find_bundle
from mmc2fmae.datasets.label_info import label_info, read_label_info
from mmc2fmae.errors import DatasetError, RunStopped, SampleError
from mmc2fmae.preflight.orientation import check_maps
from mmc2fmae.preflight.overlap import trained_on_too
from mmc2fmae.preflight.photographs import dark_photographs, photographs_of, require_readable
from mmc2fmae.preparation.bundling import write_bundle
from mmc2fmae.preparation.folders import Layout, find_layout
from tests.datasets.conftest import write_sample

FOLDERS = dict(rgb='train', instance='instance/train', semantic='semantic/train')


@pytest.fixture
def bundled(data_root, tmp_path_factory):
    """The six samples in three shards."""
    out = tmp_path_factory.mktemp('bundle')
    write_bundle(Layout(str(data_root), FOLDERS), out, per_shard=2, quiet=True)
    return out


@pytest.fixture
def cache(monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp('cache')
    monkeypatch.setenv('MMC2FMAE_CACHE', str(folder))
    return lambda: sorted(path.name for path in folder.glob('*/*.tar'))


def read(root, pipeline, **options):
    dataset = MultiGranularDataset(str(root), pipeline=pipeline, **options)
    dataset.progress.set(seed=3, epoch=5, t=0.5)
    return dataset


def same(a, b):
    parts = [(a[part][g], b[part][g]) for part in ('inputs', 'masks') for g in a[part]]
    return a['inputs'].keys() == b['inputs'].keys() and all(torch.equal(x, y) for x, y in parts)


def edit(bundled, **changes):
    path = bundled / 'train/bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_samples_are_those_of_the_files_bit_for_bit(data_root, bundled, pipeline):
    files, bundle = read(data_root, pipeline), read(bundled, pipeline)
    assert len(bundle) == 6 and len(find_bundle(str(bundled / 'train')).shards) == 3
    assert all(same(files[i], bundle[i]) for i in range(6))
    again = pickle.loads(pickle.dumps(bundle))  # as spawned workers get it
    again.progress.set(seed=3, epoch=5, t=0.5)
    assert same(files[4], again[4])
    assert all(same(a, b) for a, b in zip(files.try_samples(), bundle.try_samples(), strict=True))


def test_more_workers_than_shards_read_the_same(data_root, tmp_path, pipeline):
    write_bundle(Layout(str(data_root), FOLDERS), tmp_path / 'one', quiet=True)
    files, bundle = read(data_root, pipeline), read(tmp_path / 'one', pipeline)
    assert len(bundle.bundle.shards) == 1
    loader = DataLoader(bundle, batch_size=2, num_workers=2, collate_fn=default_collate)
    for batch, i in zip(loader, (0, 2, 4), strict=True):
        assert same(batch, default_collate([files[i], files[i + 1]]))


def test_fewer_maps_lists_and_classes_mean_what_they_mean_of_files(data_root, bundled, tmp_path):
    listed = tmp_path / 'list.txt'
    listed.write_text('n00000001/img_5.JPEG\nimg_2\n')
    options = dict(
        data_prefix=dict(rgb='train', semantic='semantic/train'),
        ann_file=str(listed),
        classes=['n00000000', 'n00000001'],
        pipeline=[],
    )
    files, bundle = (MultiGranularDataset(str(root), **options) for root in (data_root, bundled))
    for i in range(2):
        expected, found = files[i], bundle[i]
        assert found['path'] == expected['path'] and found['gt_label'] == expected['gt_label']
        assert found['granularities'] == ['rgb', 'semantic']
        for key in ('rgb_path', 'semantic_path'):
            assert found[key].read() == Path(expected[key]).read_bytes()
    assert bundle[0]['path'] == 'n00000001/img_5.JPEG'
    subset = MultiGranularDataset(str(bundled), pipeline=[], indices=[5, 1])
    assert subset[0]['rgb_path'].endswith('n00000001/img_5.JPEG')
    assert subset.shards.tolist() == subset.bundle.shard_of[[5, 1]].tolist()


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('bundle.json', b'{"chunks": []}', r"bundle\.json is damaged \(KeyError: 'format'\)"),
        ('bundle.json', b'PK', r'bundle\.json is damaged \(JSONDecodeError'),
        ('samples.npz', None, r'1 of 4 files .* samples\.npz \(missing, expected [\d,]+\): copy'),
        ('000001.tar', None, r'000001\.tar \(missing, expected [\d,]+\)'),
        ('000002.tar', b'cut', r'000002\.tar \(3 bytes, expected [\d,]+\)'),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused_at_the_start(bundled, name, content, message):
    path = bundled / 'train' / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        MultiGranularDataset(str(bundled))


def test_another_version_and_a_changed_index_are_refused(bundled):
    edit(bundled, version=2)
    with pytest.raises(DatasetError, match=r"of version 2, expected 'mmc2fmae bundle' of version"):
        MultiGranularDataset(str(bundled))
    edit(bundled, version=1, photographs=5)
    with pytest.raises(DatasetError, match=r'samples\.npz is damaged \(shards are uint32 \(6,\)'):
        MultiGranularDataset(str(bundled))
    edit(bundled, photographs='6')
    with pytest.raises(DatasetError, match=r"bundle\.json is damaged \(photographs is '6'\)"):
        MultiGranularDataset(str(bundled))
    edit(bundled, photographs=6)
    table = bundled / 'train/samples.npz'
    content = bytearray(table.read_bytes())
    content[-1] ^= 1
    table.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match=r'samples\.npz is damaged \(its SHA-256 differs\)'):
        MultiGranularDataset(str(bundled))


def test_what_a_bundle_lacks_and_what_is_none_is_said(bundled, tmp_path):
    with pytest.raises(DatasetError, match='reads depth, too: bundle it from a folder with'):
        MultiGranularDataset(str(bundled), dict(rgb='train', depth='depth/train'))
    with pytest.raises(DatasetError, match=r"instance folder 'instance/train' .*other/masks: set"):
        MultiGranularDataset(str(bundled), dict(rgb='train', instance='other/masks'))
    with pytest.raises(DatasetError, match='train is a bundle, which `mmc2fmae bundle verify`'):
        find_layout(str(bundled), 'train')
    (bundled / 'train/bundle.json').rename(bundled / 'bundle.json')
    (bundled / 'train/.progress').mkdir()
    with pytest.raises(DatasetError, match='is a bundle that is not finished: start the same'):
        MultiGranularDataset(str(bundled))
    with pytest.raises(DatasetError, match=r'nothing/train/bundle\.json does not exist: object'):
        MultiGranularDataset(f'file://{tmp_path}/nothing')


def test_damage_within_a_shard_is_a_sample_that_cannot_be_read(bundled, pipeline):
    dataset = read(bundled, pipeline)
    record = dataset.get_data_info(3)['rgb_path']
    path = Path(record.partition('.tar')[0] + '.tar')
    content = path.read_bytes()
    place = content.index(record.read())
    path.write_bytes(content[:place] + bytes(record.size) + content[place + record.size :])
    with pytest.raises(SampleError, match=r'\d\.tar/n00000001/img_1\.JPEG: cannot be read'):
        read(bundled, pipeline)[3]
    skipped = read(bundled, pipeline, on_error='skip')[3]
    assert skipped['path'].endswith('img_3.JPEG') and 'img_1.JPEG' in skipped['skipped']
    assert type(skipped['path']) is str
    path.write_bytes(content[: place + 7])  # while the run has it open
    with pytest.raises(SampleError, match=r'\.tar ends [\d,]+ bytes before the end of this file'):
        dataset[3]


def test_a_shard_stays_open_while_it_is_read_though_another_takes_its_place(
    bundled, data_root, monkeypatch
):
    monkeypatch.setattr(bundles, '_OPEN', 1)
    bundle = find_bundle(str(bundled / 'train'))
    read_at = os.pread

    def pread(*arguments):
        for number in range(3):
            bundle._open(number)
        return read_at(*arguments)

    monkeypatch.setattr(bundles.os, 'pread', pread)
    found = [bundle.files(record, ['rgb'])['rgb'].read() for record in range(6)]
    assert found == [path.read_bytes() for path in sorted(data_root.glob('train/*/*'))]


def test_checks_before_a_run_compare_bundles_and_fetch_nothing(data_root, bundled, cache):
    store = MultiGranularDataset(f'file://{bundled}', pipeline=[])
    check_maps(store)
    require_readable(photographs_of(store))
    assert dark_photographs(photographs_of(store)) == ''
    assert cache() == []
    files, bundle = (MultiGranularDataset(str(root), pipeline=[]) for root in (data_root, bundled))
    found = trained_on_too(photographs_of(files), photographs_of(bundle))
    assert found.startswith('6 of 6 photographs to validate on are trained on, too')


def test_shards_of_a_store_are_fetched_once_and_bounded(
    data_root, bundled, pipeline, cache, monkeypatch
):
    label_info(['sky', 'sea'], {}).write(bundled)
    address = f'file://{bundled}'
    assert read_label_info(address).semantic_classes == ('sky', 'sea')
    files, store = read(data_root, pipeline), read(address, pipeline)
    assert cache() == []
    assert all(same(files[i], store[i]) for i in range(6))
    assert cache() == ['000000.tar', '000001.tar', '000002.tar']
    shards = sorted(bundled.glob('train/*.tar'))
    content = [path.read_bytes() for path in shards]
    for path in shards:  # nobody asks for them again
        path.write_bytes(bytes(path.stat().st_size))
    assert all(same(files[i], read(address, pipeline)[i]) for i in range(6))
    for path, data in zip(shards, content, strict=True):
        path.write_bytes(data)
    for kept in Path(os.environ['MMC2FMAE_CACHE']).glob('*/*.tar'):
        kept.unlink()
    room = sum(map(len, content)) - 1
    monkeypatch.setenv('MMC2FMAE_CACHE_GIB', str(room / 2**30))
    bounded = read(address, pipeline)
    assert all(same(files[i], bounded[i]) for i in range(6))
    assert len(cache()) == 2


def test_a_store_that_fails_stops_the_run_and_skips_no_sample(bundled, pipeline, cache):
    dataset = read(f'file://{bundled}', pipeline, on_error='skip')
    for path in bundled.glob('train/*.tar'):
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(RunStopped, match=r'\.tar is damaged: SHA-256 \w+, expected \w+; upload'):
        dataset[0]
    for path in bundled.glob('train/*.tar'):
        path.unlink()
    with pytest.raises(RunStopped, match=r'\.tar cannot be read \(FileNotFoundError.*: check the'):
        dataset[0]
    assert cache() == []


def test_room_and_settings_of_the_cache_are_checked_at_the_start(bundled, cache, monkeypatch):
    monkeypatch.setenv('MMC2FMAE_CACHE_GIB', 'all')
    with pytest.raises(ValueError, match="MMC2FMAE_CACHE_GIB is 'all': expected a number of GiB"):
        MultiGranularDataset(f'file://{bundled}')
    monkeypatch.delenv('MMC2FMAE_CACHE_GIB')
    monkeypatch.setattr('shutil.disk_usage', lambda _: type('Usage', (), dict(free=1000)))
    with pytest.raises(DatasetError, match=r'0\.0 MiB free, expected 0\.1 MiB for shards of file:'):
        MultiGranularDataset(f'file://{bundled}')


def test_photographs_in_the_data_root_itself_may_be_bundled(tmp_path):
    write_sample(tmp_path / 'a', 'x')
    write_bundle(Layout(str(tmp_path / 'a/train'), dict(rgb='')), tmp_path / 'b', quiet=True)
    for address in (tmp_path / 'b', f'file://{tmp_path}/b'):
        dataset = MultiGranularDataset(str(address), dict(rgb=''), pipeline=[])
        assert dataset[0]['rgb_path'].endswith('000000.tar/x.JPEG')
