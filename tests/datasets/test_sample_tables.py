import copy
import os
import pickle
import random

import pytest
from mmengine.dataset import ConcatDataset

from mmc2fmae.datasets import ImageFolders, MultiGranularDataset
from mmc2fmae.datasets.sample_tables import Names, SampleTable

ODD = ['a/1.jpg', 'ä ö/ü.JPEG', 'b\n.jpg', '\udcff.png', 'x' * 250, '猫/①.webp', 'a', ' ']


def test_names_come_back_as_they_were():
    for seed in range(30):
        draw = random.Random(seed)
        names = draw.choices(ODD, k=draw.randrange(20))
        table = Names.of(names)
        assert list(table) == names and len(table) == len(names)
        assert list(copy.deepcopy(table)) == list(pickle.loads(pickle.dumps(table))) == names
        for index in range(-len(names), len(names)):
            assert table[index] == names[index]
        for part in (slice(3), slice(-3, None), slice(2, 15, 3), slice(None, None, -1)):
            assert list(table[part]) == names[part]
        for index in (len(names), -len(names) - 1):
            with pytest.raises(IndexError, match=f'name {index} of {len(names)}'):
                table[index]


def test_names_that_are_no_text_are_those_of_the_disk(tmp_path):
    (tmp_path / os.fsdecode(b'\xff\xe4.jpg')).touch()
    names = os.listdir(tmp_path)
    assert os.path.exists(tmp_path / Names.of(names)[0])


def test_samples_are_those_of_a_list_of_dicts():
    expected = [dict(path='b/2.jpg', gt_label=7), dict(path='a/1.jpg', gt_label=0)]
    table = SampleTable.of(['b/2.jpg', 'a/1.jpg'], [7, 0])
    assert list(table) == expected and list(table[::-1]) == expected[::-1]
    assert type(table[0]['gt_label']) is int
    assert list(SampleTable.of(['a'])) == [dict(path='a')]
    assert SampleTable.of(['c/1.jpg'], [1], 'root/./x')[0]['img_path'] == 'root/x/c/1.jpg'


@pytest.mark.parametrize('serialize', [False, True])
def test_parts_of_a_dataset_are_those_of_the_list(data_root, serialize):
    def paths(dataset):
        return [dataset.get_data_info(i)['path'] for i in range(len(dataset))]

    def build(**options):
        return MultiGranularDataset(
            str(data_root), pipeline=[], serialize_data=serialize, **options
        )

    whole = build()
    names = paths(whole)
    assert len(names) == 6
    assert paths(build(indices=-2)) == names[-2:]
    assert paths(build(indices=[4, 0])) == [names[4], names[0]]
    assert paths(whole.get_subset(3)) == names[:3]
    assert paths(whole.get_subset([5, 1])) == [names[5], names[1]]
    assert len(ConcatDataset([whole, whole])) == 12


def test_labels_and_paths_of_class_folders_are_those_of_the_list(data_root):
    dataset = ImageFolders(str(data_root), 'train', pipeline=[])
    assert dataset.get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.get_data_info(5)['img_path'] == str(data_root / 'train/n00000001/img_5.JPEG')
