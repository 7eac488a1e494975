import csv
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mmc2fmae.datasets import ImageFolders
from mmc2fmae.datasets.class_folders import folder_names
from mmc2fmae.datasets.image_folders import fixed_share
from mmc2fmae.errors import DatasetError, LabelsError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Three classes of four photographs."""
    for name in ('cat', 'ant', 'bee'):
        for i in range(4):
            touch(tmp_path / f'train/{name}/{name}_{i}.JPEG')
    return tmp_path


def labels_by_folder(dataset):
    return {
        (i['img_path'].split('/')[-2], i['gt_label'])
        for i in map(dataset.get_data_info, range(len(dataset)))
    }


def test_classes_are_known_by_name_whatever_their_order(folders):
    given = ImageFolders(data_root=str(folders), classes=['cat', 'bee', 'ant'])
    assert labels_by_folder(given) == {('cat', 0), ('bee', 1), ('ant', 2)}
    sorted_names = ImageFolders(data_root=str(folders))
    assert labels_by_folder(sorted_names) == {('ant', 0), ('bee', 1), ('cat', 2)}
    assert sorted_names.CLASSES == ('ant', 'bee', 'cat')


def test_imagenet_has_a_thousand_sorted_wnids():
    names = folder_names('imagenet')
    assert len(names) == 1000 and list(names) == sorted(names)
    assert (names[0], names[999]) == ('n01440764', 'n15075141')  # tench, toilet tissue


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (['ant', 'bee', 'dog'], r"1 unknown \['cat'\], 1 missing or empty \['dog'\]"),
        (['ant', 'bee'], r"3 class folders, expected 2: 1 unknown \['cat'\]"),
        ('imagenet', r'3 class folders, expected 1000'),
    ],
)
def test_other_classes_than_expected_are_an_error(folders, classes, message):
    with pytest.raises(LabelsError, match=message):
        ImageFolders(data_root=str(folders), classes=classes)


def test_wrong_number_of_photographs_is_an_error(folders):
    with pytest.raises(LabelsError, match='holds 12 photographs, expected 50,000'):
        ImageFolders(data_root=str(folders), expected=50_000)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'val does not exist; point --data-root'):
        ImageFolders(data_root=str(tmp_path), folder='val')
    (tmp_path / 'val').mkdir()
    with pytest.raises(FileNotFoundError, match='val holds no photographs'):
        ImageFolders(data_root=str(tmp_path), folder='val')


def test_share_keeps_the_same_files_whatever_order_and_folder():
    names = [f'{c}/{c}_{i}.JPEG' for c in 'ab' for i in range(200)]
    labels = [0] * 200 + [1] * 200
    tenth = {names[i] for i in fixed_share(names, labels, 0.1)}
    assert len(tenth) == 40 and sum(n.startswith('a') for n in tenth) == 20
    moved = [f'elsewhere/{n}'.replace('.JPEG', '.png') for n in reversed(names)]
    again = {moved[i] for i in fixed_share(moved, labels[::-1], 0.1)}
    assert again == {f'elsewhere/{n}'.replace('.JPEG', '.png') for n in tenth}
    assert {names[i] for i in fixed_share(names, labels, 0.01)} < tenth
    assert fixed_share(names, labels, 1.0) == list(range(400))
    # A class of three keeps one at 1 %: none disappears.
    assert len(fixed_share(['x', 'y', 'z'], [7, 7, 7], 0.01)) == 1


@pytest.mark.parametrize('share', [0, -0.1, 1.5, 10])
def test_share_out_of_range_is_an_error(share):
    with pytest.raises(ValueError, match=f'label_share is {share}'):
        fixed_share(['a'], [0], share)


def test_a_list_of_photographs_takes_the_place_of_a_share(folders):
    (folders / 'some.txt').write_text('cat_1.JPEG\nant/ant_3.JPEG\n\n')
    dataset = ImageFolders(data_root=str(folders), label_list='some.txt')
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    assert [p.split('/')[-1] for p in paths] == ['ant_3.JPEG', 'cat_1.JPEG']
    (folders / 'some.txt').write_text('dog_1.JPEG')
    with pytest.raises(DatasetError, match=r'1 of 1 photographs are not in .*train, first dog_1'):
        ImageFolders(data_root=str(folders), label_list='some.txt')


@pytest.fixture
def flat(tmp_path):
    for i in (1, 2, 3):
        touch(tmp_path / f'val/ILSVRC2012_val_{i:08d}.JPEG')
    return tmp_path


WNIDS = ['n01', 'n02', 'n03']


def write_kaggle(root):
    with open(root / 'labels.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['ImageId', 'PredictionString'])
        for i, wnid in ((3, 'n01'), (1, 'n03'), (2, 'n02')):
            writer.writerow([f'ILSVRC2012_val_{i:08d}', f'{wnid} 1 2 3 4 {wnid} 5 6 7 8'])
    return 'labels.csv'


def write_caffe(root):
    lines = [f'ILSVRC2012_val_{i:08d}.JPEG {label}' for i, label in ((1, 2), (2, 1), (3, 0))]
    (root / 'val.txt').write_text('\n'.join(lines))
    return 'val.txt'


def write_devkit(root):
    # ILSVRC ids follow another order than the sorted wnids.
    kind = [('ILSVRC2012_ID', 'u2'), ('WNID', 'O'), ('words', 'O')]
    rows = [(1, 'n02', 'b'), (2, 'n03', 'c'), (3, 'n01', 'a')]
    savemat(root / 'meta.mat', dict(synsets=np.array(rows, dtype=kind)))
    (root / 'ILSVRC2012_validation_ground_truth.txt').write_text('2\n1\n3\n')
    return 'ILSVRC2012_validation_ground_truth.txt'


@pytest.mark.parametrize('write', [write_kaggle, write_caffe, write_devkit])
def test_flat_validation_folder_with_each_published_label_file(flat, write):
    dataset = ImageFolders(data_root=str(flat), folder='val', classes=WNIDS, label_file=write(flat))
    assert [dataset.get_data_info(i)['gt_label'] for i in range(3)] == [2, 1, 0]


def test_flat_folder_without_labels_names_the_way_out(flat):
    with pytest.raises(LabelsError, match='is flat: 3 photographs and no class folders; give'):
        ImageFolders(data_root=str(flat), folder='val', classes=WNIDS)


def test_devkit_without_its_table_is_named(flat):
    name = write_devkit(flat)
    (flat / 'meta.mat').unlink()
    with pytest.raises(LabelsError, match=r'meta\.mat is missing'):
        ImageFolders(data_root=str(flat), folder='val', classes=WNIDS, label_file=name)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('hello world again\n', 'no label file that is known'),
        ('ILSVRC2012_val_00000001.JPEG 0\n', '2 photographs have no label'),
        ('\n'.join(f'ILSVRC2012_val_{i:08d}.JPEG 3' for i in (1, 2, 3)), '3 labels are outside'),
    ],
)
def test_bad_label_files_are_errors(flat, text, message):
    (flat / 'labels.txt').write_text(text)
    (flat / 'meta.mat').touch()
    with pytest.raises(LabelsError, match=message):
        ImageFolders(data_root=str(flat), folder='val', classes=WNIDS, label_file='labels.txt')


@pytest.fixture
def numbered(tmp_path):
    """Class folders that number their photographs alike, as most cameras do."""
    for name in ('ant', 'cat', 'dog'):
        for i in range(4):
            touch(tmp_path / f'train/{name}/{i:03d}.jpg')
    return tmp_path


def used(dataset):
    infos = map(dataset.get_data_info, range(len(dataset)))
    return [('/'.join(i['img_path'].split('/')[-2:]), int(i['gt_label'])) for i in infos]


def test_a_list_of_paths_means_these_photographs(numbered):
    (numbered / 'list.txt').write_text('cat/000.jpg\ncat/001.jpg\nant/002.jpg\n')
    dataset = ImageFolders(data_root=str(numbered), label_list='list.txt')
    assert used(dataset) == [('ant/002.jpg', 0), ('cat/000.jpg', 1), ('cat/001.jpg', 1)]
    (numbered / 'list.txt').write_text('cat/000.jpg\n001.jpg\n')
    with pytest.raises(DatasetError, match=r': 001\.jpg may be ant/001\.jpg, cat/001\.jpg'):
        ImageFolders(data_root=str(numbered), label_list='list.txt')


def test_labels_of_paths_belong_to_these_photographs(numbered):
    rows = [(f'{c}/{i:03d}.jpg', (k + 1) % 3) for k, c in enumerate(('ant', 'cat', 'dog'))
            for i in range(4)]  # fmt: skip
    (numbered / 'val.txt').write_text('\ufeff' + ''.join(f'{n} {label}\r\n' for n, label in rows))
    dataset = ImageFolders(data_root=str(numbered), label_file='val.txt')
    assert used(dataset) == rows
    (numbered / 'val.txt').write_text(''.join(f'{i:03d}.jpg 0\n' for i in range(4)))
    with pytest.raises(DatasetError, match=r'000\.jpg may be ant/000\.jpg, cat/000\.jpg, dog/000'):
        ImageFolders(data_root=str(numbered), label_file='val.txt')


def test_labels_of_photographs_that_are_gone_are_said_and_two_of_one_are_refused(flat, monkeypatch):
    name = write_caffe(flat)
    lines = (flat / name).read_text().splitlines()
    (flat / name).write_text('\n'.join([*lines, *(f'gone_{i}.JPEG 0' for i in range(7))]))
    arguments = dict(data_root=str(flat), folder='val', classes=WNIDS, label_file=name)
    said = []
    log = 'mmc2fmae.datasets.image_folders.print_log'
    monkeypatch.setattr(log, lambda text, *_, **__: said.append(text))
    assert len(ImageFolders(**arguments)) == 3
    assert len(said) == 1 and 'labels of 7 photographs that are not in' in said[0]
    assert 'gone_4.JPEG and 2 more: they are left out' in said[0]
    (flat / name).write_text('\n'.join([*lines, lines[0].replace(' 2', ' 1')]))
    with pytest.raises(LabelsError, match=r'gives ILSVRC2012_val_0{7}1\.JPEG the labels 2 and 1'):
        ImageFolders(**arguments)


def test_folders_of_editors_and_links_are_no_classes(folders):
    for name in ('.ipynb_checkpoints', '@eaDir', '__MACOSX'):
        touch(folders / f'train/{name}/x.jpg')
    touch(folders / 'train/bee/@eaDir/bee_0.JPEG')
    (folders / 'train/train').symlink_to(folders / 'train')
    dataset = ImageFolders(data_root=str(folders))
    assert dataset.CLASSES == ('ant', 'bee', 'cat') and len(dataset) == 12


def test_home_and_variables_in_paths(folders, monkeypatch):
    monkeypatch.setenv('HOME', str(folders))
    monkeypatch.setenv('SPLIT', 'train')
    assert len(ImageFolders(data_root='~', folder='$SPLIT')) == 12
    assert len(ImageFolders(folder='~/${SPLIT}')) == 12
    with pytest.raises(ValueError, match='the variable SPLTI is not set'):
        ImageFolders(data_root='~', folder='$SPLTI')


@pytest.mark.parametrize('forms', [('NFC', 'NFD'), ('NFD', 'NFC'), ('NFD', 'NFD')])
def test_accents_of_class_folders_are_the_same_in_one_letter_or_two(tmp_path, forms):
    names = ('Käse', 'café', 'thé')
    for split, form in zip(('train', 'val'), forms, strict=True):
        for name in names:
            folder = tmp_path / split / normalize(form, name)
            folder.mkdir(parents=True)
            Image.new('RGB', (4, 4)).save(folder / 'a.png')
    train = ImageFolders(str(tmp_path), 'train')
    val = ImageFolders(str(tmp_path), 'val', classes=train.CLASSES)
    for data in (train, val):
        found = {Path(info['img_path']).parent.name: train.CLASSES[info['gt_label']]
                 for info in map(data.get_data_info, range(3))}  # fmt: skip
        assert {normalize('NFC', a) for a in found} == set(names)
        assert all(normalize('NFC', a) == normalize('NFC', b) for a, b in found.items())


def test_class_folders_of_both_forms_at_once_are_refused(tmp_path):
    for form in ('NFC', 'NFD'):
        folder = tmp_path / 'train' / normalize(form, 'é')
        folder.mkdir(parents=True)
        Image.new('RGB', (4, 4)).save(folder / 'a.png')
    with pytest.raises(LabelsError, match='differ in the Unicode form of accents alone'):
        ImageFolders(str(tmp_path), 'train')
