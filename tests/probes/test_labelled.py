import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError, LabelsError
from mmc2fmae.probes.labelled import read_labelled, spread


def write(root, **classes):
    """Write so many photographs in each class folder."""
    for name, number in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(number):
            Image.new('RGB', (8, 8)).save(root / name / f'{i}.png')
    return root


def test_every_second_photograph_of_a_class_votes(tmp_path):
    found = read_labelled(write(tmp_path / 'set', a=5, b=3), k=3)
    names = [f'{path.parent.name}{path.stem}' for path in found.paths]
    assert names == ['a0', 'a2', 'a4', 'b0', 'b2', 'a1', 'a3', 'b1']
    assert (found.voting, found.classes) == (5, 2)
    assert found.labels == [0, 0, 0, 1, 1, 0, 0, 1]
    assert found.chance == pytest.approx(200 / 3)


def test_train_votes_and_val_is_asked_where_both_are_there(tmp_path):
    write(tmp_path / 'set/train', a=4, b=4)
    write(tmp_path / 'set/val', a=1, b=2)
    found = read_labelled(tmp_path / 'set', k=8)
    assert found.voting == 8
    assert [path.parts[-3] for path in found.paths[8:]] == ['val'] * 3


@pytest.mark.parametrize(('most', 'voting', 'asked'), [(None, 9, 6), (9, 6, 3), (2, 3, 1)])
def test_a_short_run_asks_fewer_but_never_without_enough_voters(tmp_path, most, voting, asked):
    found = read_labelled(write(tmp_path / 'set', a=5, b=5, c=5), k=3, most=most)
    assert (found.voting, len(found.paths) - found.voting) == (voting, asked)


def test_a_large_class_leaves_room_for_the_others():
    assert spread([0, 0, 0, 0, 1, 2], 4) == [0, 1, 4, 5]
    assert spread([0, 1], 10) == [0, 1]


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        ({}, 'has no class folders: expected .*/CLASS/'),
        (dict(a=9), 'has 1 class folder: expected two or more'),
        (dict(a=9, b=1), '1 of 2 classes have none to ask'),
        (dict(a=2, b=2), '2 photographs that vote .* expected 3 voters or more'),
        (dict(a=9, b=9, c=0), 'missing or empty'),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(tmp_path, classes, message):
    (tmp_path / 'set').mkdir()
    write(tmp_path / 'set', **classes)
    with pytest.raises((DatasetError, LabelsError), match=message) as caught:
        read_labelled(tmp_path / 'set', k=3)
    assert '\n' not in str(caught.value)


def test_other_classes_in_val_are_refused(tmp_path):
    write(tmp_path / 'set/train', a=4, b=4)
    write(tmp_path / 'set/val', a=1, c=2)
    with pytest.raises(LabelsError, match='unknown'):
        read_labelled(tmp_path / 'set', k=3)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DatasetError, match='is no folder'):
        read_labelled(tmp_path / 'gone', k=3)
