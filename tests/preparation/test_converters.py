"""Every format is read as its publisher defines it; expectations are written out by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError, SampleError
from mmc2fmae.preparation.converters import (
    from_ade20k,
    from_coco_panoptic,
    from_folders,
    read_class_names,
)
from mmc2fmae.preparation.layout import coco_panoptic_classes


def save(array, path, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype)).save(path)


def photo(path, size=(4, 3)):
    save(np.zeros((size[1], size[0], 3)), path)


def segment_png(ids, path):
    ids = np.asarray(ids)
    save(np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1), path)


def coco(tmp_path, categories, segments):
    """One photograph of 4 x 3 pixels with segments 70000 (3 pixels), 300 (4), 7 (2), 9 (2)."""
    photo(tmp_path / 'train/a.jpg')
    segment_png(
        [[70000, 70000, 70000, 0], [300, 300, 300, 300], [7, 7, 9, 9]], tmp_path / 'panoptic/a.png'
    )
    content = dict(
        images=[dict(id=5, file_name='a.jpg', width=4, height=3)],
        annotations=[dict(image_id=5, file_name='a.png', segments_info=segments)],
        categories=categories,
    )
    (tmp_path / 'panoptic.json').write_text(json.dumps(content))
    return tmp_path / 'train', tmp_path / 'panoptic.json'


OWN = [
    dict(id=40, name='sky', isthing=0),
    dict(id=3, name='cat', isthing=1),
    dict(id=9, name='dog', isthing=1),
]
SEGMENTS = [
    dict(id=70000, category_id=3, iscrowd=0),
    dict(id=300, category_id=3, iscrowd=1),
    dict(id=7, category_id=40, iscrowd=0),
    dict(id=9, category_id=9, iscrowd=0),
]


def test_panoptic_segments_become_classes_and_instances(tmp_path):
    conversion = from_coco_panoptic(*coco(tmp_path, OWN, SEGMENTS))
    assert conversion.classes == ('cat', 'dog', 'sky')  # things first
    (item,) = conversion.items
    assert item.name == 'a.jpg'
    maps = conversion.read(item)
    assert maps['semantic'].tolist() == [[0, 0, 0, 255], [0, 0, 0, 0], [2, 2, 1, 1]]
    # A crowd has a class but is no instance, nor is stuff; the larger object is 1.
    assert maps['instance'].tolist() == [[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 2, 2]]


def test_coco_classes_are_matched_by_name_whatever_the_order(tmp_path):
    names = coco_panoptic_classes()
    categories = [
        dict(id=1000 - i, name=name, isthing=int(i < 80)) for i, name in enumerate(names)
    ][::-1]
    segments = [
        dict(id=70000, category_id=1000, iscrowd=0),  # person
        dict(id=300, category_id=1000 - 132, iscrowd=0),  # rug-merged
        dict(id=7, category_id=1000 - 16, iscrowd=0),  # dog
        dict(id=9, category_id=1000 - 80, iscrowd=0),  # banner
    ]
    conversion = from_coco_panoptic(*coco(tmp_path, categories, segments))
    assert conversion.classes == names
    maps = conversion.read(conversion.items[0])
    assert maps['semantic'].tolist() == [[0, 0, 0, 255], [132] * 4, [16, 16, 80, 80]]
    assert maps['instance'].tolist() == [[1, 1, 1, 0], [0] * 4, [2, 2, 0, 0]]


def test_wrong_coco_files_are_named(tmp_path):
    images, annotations = coco(tmp_path, OWN, SEGMENTS[:-1])
    conversion = from_coco_panoptic(images, annotations)
    with pytest.raises(DatasetError, match=r'a\.png has segments \[9\] that the json does not'):
        conversion.read(conversion.items[0])
    Image.open(tmp_path / 'panoptic/a.png').convert('L').save(tmp_path / 'panoptic/a.png')
    with pytest.raises(SampleError, match=r'a\.png: has mode L \(L\), expected RGB'):
        conversion.read(conversion.items[0])
    (tmp_path / 'panoptic/a.png').write_bytes(b'no image')
    with pytest.raises(SampleError, match=r'a\.png: cannot be read'):
        conversion.read(conversion.items[0])
    (tmp_path / 'panoptic/a.png').unlink()
    with pytest.raises(DatasetError, match=r'1 files do not exist, first .*panoptic/a\.png'):
        from_coco_panoptic(images, annotations)
    coco(tmp_path, OWN[:1], SEGMENTS)
    with pytest.raises(DatasetError, match='names image or category 3'):
        from_coco_panoptic(images, annotations)
    annotations.write_text(json.dumps(dict(images=[], annotations=[dict(image_id=1)])))
    with pytest.raises(DatasetError, match=r'panoptic\.json is no panoptic json'):
        from_coco_panoptic(images, annotations)


def ade20k(root):
    photo(root / 'images/training/a.jpg')
    save([[0, 1, 1, 1], [150, 150, 13, 13], [13, 13, 0, 1]], root / 'annotations/training/a.png')
    ins = np.zeros((3, 4, 3))
    ins[1, 2:] = 13, 1, 0  # red = class, green = number
    ins[2, :2] = 13, 2, 0
    ins[1, 0] = 150, 3, 0
    ins[0, 1] = 1, 0, 0  # a class without a number is no instance
    ins[2, 1] = 0
    save(ins, root / 'annotations_instance/training/a.png')
    return root


def test_ade20k_classes_start_at_1_and_instances_are_numbered_in_green(tmp_path):
    conversion = from_ade20k(ade20k(tmp_path))
    assert len(conversion.classes) == 150
    assert conversion.classes[:2] == ('wall', 'building') and conversion.classes[12] == 'person'
    assert all(name == name.strip() for name in conversion.classes)
    maps = conversion.read(conversion.items[0])
    assert maps['semantic'].tolist() == [[255, 0, 0, 0], [149, 149, 12, 12], [12, 12, 255, 0]]
    assert maps['instance'].tolist() == [[0, 0, 0, 0], [3, 0, 1, 1], [2, 0, 0, 0]]


def test_ade20k_without_instances_has_semantic_maps_alone(tmp_path):
    ade20k(tmp_path)
    for path in (tmp_path / 'annotations_instance/training').iterdir():
        path.unlink()
    (tmp_path / 'annotations_instance/training').rmdir()
    with pytest.raises(DatasetError, match=r'(?s)annotations_instance/training .*--no-instances'):
        from_ade20k(tmp_path)
    conversion = from_ade20k(tmp_path, instances=False)
    assert conversion.granularities == ('semantic',)
    assert list(conversion.read(conversion.items[0])) == ['semantic']
    save([[151]], tmp_path / 'annotations/training/a.png')
    with pytest.raises(DatasetError, match=r'a\.png has classes \[151\], expected 1 to 150'):
        conversion.read(conversion.items[0])


def test_one_class_of_objects_is_made_of_the_instances(tmp_path):
    photo(tmp_path / 'images/x/a.png')
    save([[0, 700, 700, 2], [0, 0, 0, 2], [9, 0, 0, 2]], tmp_path / 'masks/x/a.png', np.uint16)
    conversion = from_folders(tmp_path / 'images', tmp_path / 'masks', None, ('nothing', 'cat'))
    (item,) = conversion.items
    maps = conversion.read(item)
    assert maps['instance'].tolist() == [[0, 2, 2, 1], [0, 0, 0, 1], [3, 0, 0, 1]]
    assert maps['semantic'].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [1, 0, 0, 1]]
    with pytest.raises(DatasetError, match='3 classes without class maps'):
        from_folders(tmp_path / 'images', tmp_path / 'masks', None, ('a', 'b', 'c'))


def test_pascal_voc_palettes_and_borders(tmp_path):
    """Values are palette indices; 255 surrounds objects and is neither class nor instance."""
    photo(tmp_path / 'images/a.jpg')
    photo(tmp_path / 'images/unlabelled.jpg')
    ids = np.array([[0, 255, 1, 1], [0, 255, 2, 2], [0, 255, 2, 2]], np.uint8)
    for folder, values in (('objects', ids), ('classes', np.where(ids == 1, 15, ids))):
        (tmp_path / folder).mkdir()
        image = Image.fromarray(values.astype(np.uint8)).convert('P')
        image.putpalette(list(range(256)) * 3)
        image.save(tmp_path / folder / 'a.png')
    assert np.asarray(Image.open(tmp_path / 'classes/a.png'))[0].tolist() == [0, 255, 15, 15]
    folders = [tmp_path / name for name in ('images', 'objects', 'classes')]
    classes = [str(i) for i in range(21)]
    with pytest.raises(DatasetError, match=r'(?s)1 of 2 photographs .*unlabelled\.jpg'):
        from_folders(*folders, classes, instance_void=255)
    conversion = from_folders(*folders, classes, instance_void=255, skip_unlabelled=True)
    (item,) = conversion.items
    maps = conversion.read(item)
    assert maps['instance'].tolist() == [[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert maps['semantic'].tolist() == [[0, 255, 15, 15], [0, 255, 2, 2], [0, 255, 2, 2]]


@pytest.mark.parametrize(
    ('values', 'reduce_zero_label', 'expected'),
    [
        ([0, 1, 2, 255], False, [0, 1, 2, 255]),
        ([0, 1, 3, 255], True, [255, 0, 2, 255]),
        ([0, 3], False, r'classes \[3\], expected 0 to 2, 255 for unknown'),
        ([0, 4, 300], True, r'classes \[4, 300\], expected 1 to 3, 255 .* 0 for unlabelled'),
        ([255, 256], False, r'classes \[256\]'),
    ],
)
def test_class_ids_are_checked_and_shifted(tmp_path, values, reduce_zero_label, expected):
    photo(tmp_path / 'images/a.jpg', (len(values), 1))
    save([[0] * len(values)], tmp_path / 'masks/a.png')
    save([values], tmp_path / 'classes/a.png', np.uint16)
    folders = [tmp_path / name for name in ('images', 'masks', 'classes')]
    conversion = from_folders(*folders, ['a', 'b', 'c'], reduce_zero_label)
    if isinstance(expected, str):
        with pytest.raises(DatasetError, match=rf'classes/a\.png has {expected}'):
            conversion.read(conversion.items[0])
    else:
        semantic = conversion.read(conversion.items[0])['semantic']
        assert semantic.dtype == np.uint8
        assert semantic.tolist() == [expected]


def test_class_names_are_lines(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('background\ntraffic light \n\n')
    assert read_class_names(path) == ('background', 'traffic light')
    path.write_text('cat\ndog\ncat\n')
    with pytest.raises(DatasetError, match=r"names twice: \['cat'\]"):
        read_class_names(path)
