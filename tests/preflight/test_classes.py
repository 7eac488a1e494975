import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.classes import require_same_classes


def test_equal_lists_pass():
    require_same_classes(('ant', 'bee'), ['ant', 'bee'], 'train', 'val')


@pytest.mark.parametrize(
    ('second', 'said'),
    [
        (('Cat', 'Ant', 'bee'), 'in their order'),
        (('ant', 'bee', 'cat'), r"in their spelling \('Ant' and 'ant'\)"),
        (('Cat', 'bee'), r'1 are only in train \(Ant\)'),
        (('Ant', 'Cat', 'bee', 'cow'), r'1 are only in val \(cow\)'),
        (('Cat', 'bee', 'unsorted'), r'only in train \(Ant\); 1 are only in val \(unsorted\)'),
        ((), r'3 are only in train'),
    ],
)
def test_both_lists_and_the_difference_are_shown(second, said):
    with pytest.raises(DatasetError, match=said) as error:
        require_same_classes(('Ant', 'Cat', 'bee'), second, 'train', 'val')
    assert f'of train: Ant, Cat, bee; of val: {", ".join(second)}' in str(error.value)


def test_long_lists_are_shortened():
    names = [f'class {i}' for i in range(1000)]
    with pytest.raises(DatasetError, match='class 7 and 992 more') as error:
        require_same_classes(names, names[::-1], 'train', 'val')
    assert len(str(error.value)) < 400
