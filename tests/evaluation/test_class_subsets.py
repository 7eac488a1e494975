"""Labels come from folder names."""

import pytest

from mmc2fmae.evaluation.class_subsets import list_images, resolve_classes


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_labels_follow_the_given_order_and_not_that_of_the_folders(tmp_path):
    make(tmp_path, 'ant/2.png', 'ant/1.JPEG', 'zebra/1.jpg', 'zebra/notes.txt', 'README.txt')
    listing = list_images(tmp_path, ['zebra', 'moth', 'ant'], subset=['ant', 'zebra'])
    assert listing.names == ['ant/1.JPEG', 'ant/2.png', 'zebra/1.jpg']
    assert listing.labels == [2, 2, 0]


def test_digest_tells_files_and_labels_apart(tmp_path):
    make(tmp_path, 'a/1.png', 'b/1.png')
    digest = list_images(tmp_path, 'ab').digest()
    assert digest == list_images(tmp_path, 'ab').digest()
    assert digest != list_images(tmp_path, 'ba').digest()
    make(tmp_path, 'b/2.png')
    assert digest != list_images(tmp_path, 'ab').digest()


@pytest.mark.parametrize(
    ('name', 'has', 'has_not'),
    [
        ('imagenet-a', 'n01498041', 'n01443537'),  # stingray; goldfish is in R alone
        ('imagenet-r', 'n01443537', 'n01440764'),  # goldfish; tench is in neither
    ],
)
def test_subsets_have_200_classes_of_imagenet(name, has, has_not):
    subset = resolve_classes(name)
    assert len(set(subset)) == 200 and set(subset) < set(resolve_classes('imagenet'))
    assert has in subset and has_not not in subset


def test_bad_class_lists():
    with pytest.raises(ValueError, match=r"'imagenet-x': expected one of \['imagenet'"):
        resolve_classes('imagenet-x')
    with pytest.raises(ValueError, match=r"\['a'\] are in the list more than once"):
        resolve_classes(['a', 'b', 'a'])


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing is no folder'):
        list_images(tmp_path / 'nothing', ['a'])
    with pytest.raises(FileNotFoundError, match='holds no images'):
        list_images(tmp_path, ['a'])
    make(tmp_path, 'a/1.png', 'c/1.png')
    with pytest.raises(ValueError, match=r"unknown \['c'\], 1 missing or empty \['b'\]"):
        list_images(tmp_path, ['a', 'b'])
    with pytest.raises(ValueError, match=r"unknown \['c'\]"):
        list_images(tmp_path, ['a', 'b', 'c'], subset=['a'])
