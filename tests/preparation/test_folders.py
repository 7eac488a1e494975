import json

import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation.folders import find_classes, find_layout
from mmc2fmae.preparation.layout import coco_panoptic_classes, label_info


def test_folders_follow_the_split_or_are_named(data_root):
    layout = find_layout(data_root, 'train')
    assert layout.granularities == ['instance', 'semantic']
    assert layout.file('instance', 'n1/a.b.JPEG') == 'instance/train/n1/a.b.png'
    named = find_layout(data_root, 'train', ['rgb=train', 'instance=semantic/train'], '.gif')
    assert named.granularities == ['instance']
    assert named.file('instance', 'a.jpg') == 'semantic/train/a.gif'


@pytest.mark.parametrize(
    'folders', [['rgb=train'], ['instance=instance/train'], ['rgb=train', 'depth=train']]
)
def test_wrong_folders_are_refused(data_root, folders):
    with pytest.raises(DatasetError, match='expected rgb=FOLDER and one or both'):
        find_layout(data_root, 'train', folders)
    with pytest.raises(DatasetError, match=r'rgb folder .*test does not exist'):
        find_layout(data_root, 'test')


def test_a_set_without_photographs_is_refused(tmp_path):
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
    layout = find_layout(tmp_path, '', ['rgb=a', 'instance=b'])
    with pytest.raises(DatasetError, match='has no photographs'):
        layout.photographs()


def test_class_names_are_given_or_those_of_the_dataset_or_coco(tmp_path):
    assert find_classes(tmp_path, None)[0] == coco_panoptic_classes()
    label_info(('sky', 'sea'), {}).write(tmp_path)
    assert find_classes(tmp_path, None)[0] == ('sky', 'sea')
    assert find_classes(tmp_path, ['cat', 'dog'])[0] == ('cat', 'dog')
    lines, listed = tmp_path / 'names.txt', tmp_path / 'names.json'
    lines.write_text('cat\nsmall dog\n\n')
    listed.write_text(json.dumps(['cat', 'small dog']))
    for path in (lines, listed):
        assert find_classes(tmp_path, [str(path)]) == (('cat', 'small dog'), str(path))
    assert find_classes(tmp_path, [str(tmp_path / 'labels.json')])[0] == ('sky', 'sea')


def test_files_without_usable_names_are_refused(tmp_path):
    path = tmp_path / 'names.json'
    path.write_text('{"classes": []}')
    for given, message in (
        ([str(path)], 'expected a list of names'),
        (['nowhere.txt'], r'nowhere\.txt cannot be read'),
        ([str(i) for i in range(256)], '256 classes: expected 2 to 255'),
    ):
        with pytest.raises(DatasetError, match=message):
            find_classes(tmp_path, given)
