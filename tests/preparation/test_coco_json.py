import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.boxes import check_coco
from mmc2fmae.preparation.coco_json import (
    coco_from_masks,
    instance_annotations,
    pair_by_stem,
    split_names,
    subset,
)


def save(array, path, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Two photographs of 5 x 4 pixels, one in a folder; three instances, one with a 16-bit id."""
    ids = np.zeros((2, 4, 5), int)
    ids[0, 1:3, 1:4] = 1
    ids[0, 0, 0] = 700
    ids[1, 3] = 2
    for i, name in enumerate(('a', 'sub/b')):
        save(np.zeros((4, 5, 3)), tmp_path / f'images/{name}.jpg')
        save(ids[i], tmp_path / f'masks/{name}.png', np.uint16)
        save(np.where(ids[i] == 700, 255, ids[i] % 2), tmp_path / f'semantic/{name}.png')
    return tmp_path


def test_boxes_areas_and_masks_by_hand(folders):
    content = coco_from_masks(folders / 'images', folders / 'masks', ['person'])
    names = {image['file_name'] for image in content['images']}
    assert names == {'a.jpg', 'sub/b.jpg'}
    boxes = [a['bbox'] for a in content['annotations']]
    assert boxes == [[1, 1, 3, 2], [0, 0, 1, 1], [0, 3, 5, 1]]
    assert [a['area'] for a in content['annotations']] == [6, 1, 5]
    assert len({a['id'] for a in content['annotations']}) == 3
    mask = rle.decode(content['annotations'][0]['segmentation'])
    assert mask.shape == (4, 5) and mask[1:3, 1:4].all() and mask.sum() == 6
    (folders / 'out.json').write_text(json.dumps(content))
    check_coco(folders / 'out.json', folders / 'images', ['person'])


def test_classes_come_from_the_semantic_map():
    instances = np.array([[1, 1, 1, 2]])
    semantic = np.array([[2, 2, 0, 255]])
    (first,) = instance_annotations(instances * (instances < 2), semantic, 3)
    assert first['category_id'] == 3  # class 2
    with pytest.raises(ValueError, match='instance 2 has no pixel of a known class'):
        instance_annotations(instances, semantic, 3)
    with pytest.raises(ValueError, match='class 2, but there are names for the classes 0 to 1'):
        instance_annotations(instances, semantic, 2)


def test_class_ids_without_a_name_are_named_where_no_instance_has_them(folders):
    labels = np.ones((4, 5))
    labels[3, 4], labels[0, 0] = 9, 255  # background in a
    save(labels, folders / 'semantic/a.png')
    with pytest.raises(DatasetError, match=r'semantic/a\.png has class ids \[9\], but there are'):
        coco_from_masks(folders / 'images', folders / 'masks', ['x', 'y'], folders / 'semantic')


def test_unknown_class_names_the_file(folders):
    with pytest.raises(DatasetError, match=r'masks/a\.png: instance 700 has no pixel'):
        coco_from_masks(folders / 'images', folders / 'masks', ['x', 'y'], folders / 'semantic')
    with pytest.raises(DatasetError, match='nothing tells which instance'):
        coco_from_masks(folders / 'images', folders / 'masks', ['x', 'y'])


def test_missing_unequal_and_empty_masks_are_errors(folders):
    save(np.ones((4, 6)), folders / 'masks/a.png')
    with pytest.raises(DatasetError, match=r'masks/a\.png is 6 x 4 pixels, .*a\.jpg is 5 x 4'):
        coco_from_masks(folders / 'images', folders / 'masks', ['x'])
    for name in ('a', 'sub/b'):
        save(np.zeros((4, 5)), folders / f'masks/{name}.png')
    with pytest.raises(DatasetError, match='no object'):
        coco_from_masks(folders / 'images', folders / 'masks', ['x'])
    (folders / 'masks/sub/b.png').unlink()
    with pytest.raises(DatasetError, match=r'(?s)1 of 2 photographs .*sub/b\.jpg'):
        pair_by_stem(folders / 'images', folders / 'masks')
    with pytest.raises(DatasetError, match='has no files ending in'):
        pair_by_stem(folders / 'none', folders / 'masks')


def test_split_is_complete_disjoint_and_repeatable(folders):
    names = [f'{i}.jpg' for i in range(10)]
    train, val = split_names(names, 0.2, seed=3)
    assert len(val) == 2 and sorted(train + val) == names
    assert (train, val) == split_names(names[::-1], 0.2, seed=3)
    assert split_names(names, 0.2, seed=4) != (train, val)
    assert len(split_names(names, 0.01, seed=0)[1]) == 1
    with pytest.raises(ValueError, match='at least two images'):
        split_names(names[:1], 0.5, seed=0)
    content = coco_from_masks(folders / 'images', folders / 'masks', ['x'])
    part = subset(content, ['sub/b.jpg'])
    assert [a['bbox'] for a in part['annotations']] == [[0, 3, 5, 1]]
    assert len(part['images']) == 1
