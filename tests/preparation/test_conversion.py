import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation import conversion as module
from mmc2fmae.preparation.conversion import Labelled, check_room, convert
from mmc2fmae.preparation.converters import from_folders
from mmc2fmae.preparation.layout import read_label_info


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.fixture
def source(tmp_path):
    """Five photographs of 6 x 4 pixels in two folders, each with one object of its own size."""
    for i in range(5):
        name = f'{"ab"[i % 2]}/{i}'
        save(np.full((4, 6, 3), 40 * i), tmp_path / f'photos/{name}.jpg')
        save(np.arange(24).reshape(4, 6) <= i, tmp_path / f'masks/{name}.png')
    return tmp_path


def folders(source, masks='masks', **options):
    classes = ('background', 'cat')
    return from_folders(source / 'photos', source / masks, None, classes, **options)


def run(source, *arguments, **options):
    return convert(folders(source), source / 'out', *arguments, quiet=True, **options)


def contents(root):
    files = (root / g for g in ('instance', 'semantic'))
    return {p: p.read_bytes() for folder in files for p in folder.rglob('*') if p.is_file()}


def test_what_is_written_can_be_trained_on(source):
    done = run(source)
    assert done == (5, 0, None)
    out = source / 'out'
    dataset = MultiGranularDataset(str(out), pipeline=[dict(type='LoadMultiGranular')])
    sample = dataset[3]  # a/0, a/2, a/4, b/1
    assert np.asarray(sample['rgb'])[0, 0, 0] == 40
    assert (sample['instance'].sum(), sample['semantic'].sum()) == (2, 2)
    info = read_label_info(out)
    assert info.semantic_classes == ('background', 'cat')
    assert info.source['splits'] == dict(train=5)


def test_a_second_run_keeps_maps_but_renews_those_of_corrected_labels(source):
    run(source)
    before = contents(source / 'out')
    (source / 'out/instance/train/b/1.png').unlink()
    assert run(source).kept == 4
    assert contents(source / 'out') == before
    save(np.ones((4, 6)), source / 'masks/a/0.png')
    assert run(source).kept == 4
    assert read_label_map(str(source / 'out/instance/train/a/0.png')).all()


def test_processes_write_the_same_bytes(source, monkeypatch):
    monkeypatch.setattr('mmc2fmae.parallel.CHUNK', 1)
    for i in range(5, 8):  # four chunks for each of two processes
        shutil.copy(source / 'photos/a/0.jpg', source / f'photos/a/{i}.jpg')
        shutil.copy(source / 'masks/a/0.png', source / f'masks/a/{i}.png')
    run(source, workers=1)
    alone = contents(source / 'out')
    shutil.rmtree(source / 'out')
    assert run(source, workers=2).kept == 0
    assert contents(source / 'out') == alone
    assert len(alone) == 16


def test_all_unusable_labels_are_named_and_the_rest_is_done(source):
    save(np.ones((4, 5)), source / 'masks/a/2.png')
    (source / 'masks/b/3.png').write_bytes(b'no image')
    with pytest.raises(DatasetError) as error:
        run(source)
    text = str(error.value)
    assert '2 of 5 photographs' in text
    assert 'labels of 5 x 4 pixels, the photograph' in text and 'a/2.jpg has 6 x 4' in text
    assert 'b/3.png: cannot be read' in text
    assert len(contents(source / 'out')) == 2 * 3
    save(np.ones((4, 6)), source / 'masks/a/2.png')
    save(np.ones((4, 6)), source / 'masks/b/3.png')
    assert run(source).kept == 3


def test_maps_must_have_the_stored_size_of_a_turned_photograph(source):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (6, 4)).save(source / 'photos/a/0.jpg', exif=exif)
    run(source)  # as stored: 6 x 4
    save(np.ones((6, 4)), source / 'masks/a/0.png')
    with pytest.raises(DatasetError, match='EXIF data turn it by a quarter'):
        run(source)


def test_a_photograph_that_is_none_is_named(source):
    (source / 'photos/a/0.jpg').write_bytes(b'no image')
    with pytest.raises(DatasetError, match=r'photos/a/0\.jpg is no readable image'):
        run(source)


def test_images_beyond_every_bound_are_named(source, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 5)
    with pytest.raises(DatasetError, match=r'masks/a/0\.png: cannot be read \(Image size'):
        run(source, workers=1)


def test_a_photograph_beyond_every_bound_is_named(source, monkeypatch):
    Image.new('RGB', (50, 50)).save(source / 'photos/a/0.jpg')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 30)  # twice as many are an error
    with pytest.raises(DatasetError, match=r'(?s)1 of 5 .*photos/a/0\.jpg is no readable image'):
        run(source, workers=1)


def test_a_list_is_written_where_photographs_have_no_labels(source):
    (source / 'masks/a/2.png').unlink()
    conversion = folders(source, skip_unlabelled=True)
    done = convert(conversion, source / 'out', quiet=True)
    assert done.photographs == 4
    assert done.ann_file == str(source / 'out/train.txt')
    dataset = MultiGranularDataset(str(source / 'out'), ann_file='train.txt')
    names = [dataset.get_data_info(i)['path'] for i in range(len(dataset))]
    assert names == ['a/0.jpg', 'a/4.jpg', 'b/1.jpg', 'b/3.jpg']


def test_maps_of_two_sources_never_mix(source):
    run(source)
    shutil.copytree(source / 'masks', source / 'others')
    with pytest.raises(DatasetError, match=r"holds maps of another source: found .*'masks'"):
        convert(folders(source, 'others'), source / 'out', quiet=True)
    with pytest.raises(DatasetError, match='another source'):
        convert(folders(source, instance_void=255), source / 'out', quiet=True)
    assert run(source, 'val').photographs == 5
    assert read_label_info(source / 'out').source['splits'] == dict(train=5, val=5)
    (source / 'out/labels.json').unlink()
    with pytest.raises(DatasetError, match='exists and no conversion has made it'):
        run(source)


def test_labels_and_photographs_are_never_overwritten(source):
    shutil.copytree(source / 'masks', source / 'out/instance/train')
    before = contents(source / 'out')
    conversion = from_folders(
        source / 'photos', source / 'out/instance/train', None, ('background', 'cat')
    )
    with pytest.raises(DatasetError, match='would replace the labels in'):
        convert(conversion, source / 'out', quiet=True)
    assert contents(source / 'out') == before
    with pytest.raises(DatasetError, match='is inside the folder of the photographs'):
        convert(folders(source), source / 'photos/out', quiet=True)


@pytest.mark.parametrize('split', ['instance', '../train', '', '.', 'a/b'])
def test_split_must_be_a_folder_name(source, split):
    with pytest.raises(DatasetError, match='split is'):
        run(source, split)


@pytest.mark.parametrize('name', ['../evil.jpg', '/etc/evil.jpg', 'a/../../evil.jpg'])
def test_names_from_files_cannot_leave_the_output(source, name):
    conversion = folders(source)
    conversion = conversion._replace(items=[Labelled(name, conversion.items[0].files)])
    with pytest.raises(DatasetError, match='is not inside the folder'):
        convert(conversion, source / 'out', quiet=True)
    assert not (source / 'out').exists()


def test_photographs_that_would_share_a_map_are_named(source):
    with pytest.raises(DatasetError, match='no photograph has labels'):
        convert(folders(source)._replace(items=[]), source / 'out', quiet=True)
    save(np.zeros((4, 6, 3)), source / 'photos/a/0.png')
    with pytest.raises(DatasetError, match=r'share their maps: a/0\.jpg and a/0\.png; rename'):
        run(source)


def test_room_is_checked_before_anything_is_written(source, monkeypatch):
    usage = shutil.disk_usage(source)
    monkeypatch.setattr('shutil.disk_usage', lambda _: usage._replace(free=10 * 8192 - 1))
    with pytest.raises(DatasetError, match=r'expected 0\.1 MiB for 10 maps'):
        run(source)
    assert not (source / 'out').exists()
    check_room(source / 'not/there/yet', 9)
    monkeypatch.setattr('shutil.disk_usage', lambda _: usage)
    monkeypatch.setattr(module.os, 'statvfs', lambda _: SimpleNamespace(f_files=100, f_favail=8))
    with pytest.raises(DatasetError, match='can hold 8 more files, expected 9'):
        check_room(source, 9)
