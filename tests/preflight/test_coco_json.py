import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.boxes import check_coco, class_ids
from mmc2fmae.preflight.coco_json import read_coco, renumbered
from mmc2fmae.preflight.coco_shapes import read_shapes, unpack_counts

BOX = [10, 20, 8, 6]  # of images 40 wide and 30 high
SQUARE = [[10, 20, 18, 20, 18, 26, 10, 26]]
RUNS = dict(size=[30, 40], counts=[320, 6, *[24, 6] * 7, 664])  # columns 10 to 17, rows 20 to 25
NAN, INF = float('nan'), float('inf')


def content() -> dict:
    """Three images with a polygon and run lengths each."""
    images = [dict(id=i, file_name=f'{i}.png', width=40, height=30) for i in (1, 2, 3)]
    annotations = [
        dict(id=2 * i + k, image_id=i, category_id=(3, 9)[k], bbox=BOX, area=48, iscrowd=0,
             segmentation=(SQUARE, RUNS)[k])
        for i in (1, 2, 3) for k in (0, 1)
    ]  # fmt: skip
    names = [dict(id=3, name='cat'), dict(id=9, name='dog')]
    return copy.deepcopy(dict(images=images, annotations=annotations, categories=names))


@pytest.fixture
def read(tmp_path):
    """A function that changes, writes and reads the file."""

    def read(change=None, masks=True, encoding='utf-8'):
        changed = content()
        if change:
            change(changed)
        path = tmp_path / 'ann.json'
        path.write_text(json.dumps(changed), encoding=encoding)
        return read_coco(path, masks)

    return read


def set_first(kind, **fields):
    return lambda c: c[kind][0].update(fields)


def drop(kind, key):
    return lambda c: c[kind][0].pop(key)


def test_a_sound_file_is_read_as_it_is(read):
    assert read() == (content(), [])


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_marks_of_byte_order_are_read(read, encoding):
    assert read(encoding=encoding).content == content()


@pytest.mark.parametrize(
    ('change', 'key', 'value', 'said'),
    [
        (drop('annotations', 'iscrowd'), 'iscrowd', 0, '1 annotations without iscrowd'),
        (drop('annotations', 'area'), 'area', 48, 'area have that of their mask'),
        (set_first('annotations', area=None), 'area', 48, 'area have that of their mask'),
        (set_first('annotations', iscrowd=True), 'iscrowd', 1, None),
        (set_first('annotations', image_id=1.0), 'image_id', 1, 'ids like 1.0 are read as 1'),
        (set_first('annotations', category_id=3.0), 'category_id', 3, 'ids like 1.0'),
    ],
)
def test_what_is_not_in_doubt_is_repaired_and_said(read, change, key, value, said):
    found, repairs = read(change)
    assert found['annotations'][0][key] == value
    assert type(found['annotations'][0][key]) in (int, float)
    assert said in repairs[0] if said else not repairs


def areas_times(factor, number=6):
    """The areas of the first annotations, as of other units or of photographs of another size."""

    def change(c):
        for annotation in c['annotations'][:number]:
            annotation['area'] *= factor

    return change


@pytest.mark.parametrize('factor', [1 / 1200, 0.25, 4])
def test_areas_of_other_units_or_sizes_are_those_of_the_masks(read, factor):
    found, (said,) = read(areas_times(factor))
    assert [a['area'] for a in found['annotations']] == [48] * 6
    assert said == (
        '6 annotations with an area that is neither that of their mask nor that of their box have '
        'that of their mask'
    )


def test_a_few_odd_areas_are_left_as_they_are(read):
    assert read(areas_times(4, 3)).repairs == []


def test_without_masks_an_area_may_be_that_of_a_thin_mask_but_no_relative_one(read):
    assert read(areas_times(0.25), masks=False).repairs == []
    found, (said,) = read(areas_times(1 / 1200), masks=False)
    assert [a['area'] for a in found['annotations']] == [48] * 6
    assert said.endswith('have that of their box')


def test_the_area_of_the_box_is_no_other_area(read):
    def thin(c):
        for annotation in c['annotations']:
            annotation['segmentation'] = [[10, 20, 18, 25.5, 18, 26, 10, 20.5]]  # 4 of 48 pixels

    assert read(thin).repairs == []


@pytest.mark.parametrize('lowest', [0, -7])
def test_annotation_ids_below_one_are_counted_anew(read, lowest):
    found, repairs = read(set_first('annotations', id=lowest))
    assert repairs == ['annotation ids below 1 are counted from 1']
    assert [a['id'] for a in renumbered(found)['annotations']] == [1, 2, 3, 4, 5, 6]
    assert found['annotations'][0]['id'] == lowest  # errors show those of the file


def test_an_unused_category_of_the_same_name_is_dropped_a_used_one_refused(read):
    twin = dict(id=0, name='cat', supercategory='none')  # as Roboflow writes it
    found, repairs = read(lambda c: c['categories'].insert(0, twin))
    assert found['categories'] == content()['categories']
    assert 'category ids [0]' in repairs[0]
    with pytest.raises(DatasetError, match=r"several categories have the name 'cat': ids \[3, 9\]"):
        read(lambda c: c['categories'][1].update(name='cat'))


IDS = [None, 'a', '1', True, [], {}, 1.5, NAN, INF, 10**400, -(2**60)]
SEGMENTATIONS = [
    'text', True, 5, 1.5, [10, 20, 18, 20, 18, 26], [[]], [[10, 20, 18, 20]], [[1, 2, 3, 4, 5]],
    [['a'] * 6], [[None] * 6], [[[1, 2]] * 6], [[NAN] * 6], [[1e308] * 6],
    [[1e9, 0, 2e9, 0, 2e9, 9]], [[10**400] * 6], [[-50, 0, 9, 0, 9, 9]], [None], [{}],
    [[10, 20, 10, 20, 10, 20]], {},
    dict(size=[30, 40]), dict(RUNS, size=[40, 30]), dict(RUNS, size=[10**18, 10**18]),
    dict(RUNS, size='30'), dict(RUNS, size=None), dict(RUNS, counts=None), dict(RUNS, counts=[]),
    dict(RUNS, counts=[1200]),
    dict(RUNS, counts=[600, -6, 606]), dict(RUNS, counts=[1199]), dict(RUNS, counts=[1199, 2]),
    dict(RUNS, counts=['1200']), dict(RUNS, counts=[1200.0]), dict(RUNS, counts=[10**18]),
    dict(RUNS, counts=''), dict(RUNS, counts='zzz'), dict(RUNS, counts='~~~~'),
    dict(RUNS, counts='0'),
    dict(RUNS, counts='P' * 99), dict(RUNS, counts='é'), dict(RUNS, counts=5),
]  # fmt: skip
BOXES = [
    None, [], [1, 2, 3], 'text', ['1', '2', '3', '4'], [NAN, 1, 2, 3], [1, 1, INF, 5],
    [10**400, 1, 1, 1],
    [5, 5, -2, 9], [5, 5, 0, 9], [1e7, 1, 3, 3], [[1], 2, 3, 4], [True, 1, 2, 3], {}, [30, 2, 8, 6],
]  # fmt: skip
DEFECTS = [
    *[(kind, 'id', value) for kind in ('images', 'annotations', 'categories') for value in IDS],
    *[('annotations', key, value) for key in ('image_id', 'category_id') for value in [*IDS, 77]],
    *[('images', k, v) for k in ('width', 'height') for v in (None, '40', 0, -4, NAN, 1.5, 10**9)],
    *[('images', 'file_name', v) for v in (None, '', ' ', 5, [], 'a\0b', '2.png')],
    *[('categories', 'name', value) for value in (None, '', 5, [], 'dog')],
    *[('annotations', 'iscrowd', value) for value in (None, '0', 2, -1, [], NAN)],
    *[('annotations', 'ignore', value) for value in ('0', 2, [])],
    *[('annotations', 'area', value) for value in (-1, '48', NAN, INF, 0, [], True)],
    *[('annotations', 'bbox', value) for value in BOXES],
    *[('annotations', 'segmentation', value) for value in SEGMENTATIONS],
    *[('annotations', 'id', 3), ('images', 'id', 2), ('categories', 'id', 9)],
]


def test_every_wrong_value_is_one_line_with_file_count_and_id(read):
    for kind, key, value in DEFECTS:
        try:
            read(set_first(kind, **{key: value}))
        except DatasetError as error:
            text = str(error)
        else:
            pytest.fail(f'{kind} {key} {value!r} was accepted')
        assert 'ann.json' in text and '\n' not in text and len(text) < 600, (kind, key, value)
    assert len(DEFECTS) > 120


REQUIRED = [('images', 'id'), ('images', 'file_name'), ('images', 'width'), ('images', 'height'),
            ('annotations', 'id'), ('annotations', 'image_id'), ('annotations', 'category_id'),
            ('annotations', 'bbox'), ('categories', 'id'), ('categories', 'name')]  # fmt: skip


@pytest.mark.parametrize(('kind', 'key'), REQUIRED)
def test_missing_fields_are_named(read, kind, key):
    with pytest.raises(DatasetError, match=rf'1 of \d {kind} .*{key}'):
        read(drop(kind, key))


@pytest.mark.parametrize('value', [None, {}, 'text', 5, [None], [[]], ['a']])
@pytest.mark.parametrize('kind', ['images', 'annotations', 'categories'])
def test_lists_hold_objects(read, kind, value):
    with pytest.raises(DatasetError, match=kind):
        read(lambda c: c.update({kind: value}))


@pytest.mark.parametrize(
    'data',
    [b'', b'{', b'[' * 100_000, b'<html>', b'"\xe9"', b'{"images": []}', b'null', b'7' * 5000],
)
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / 'a.json').write_bytes(data)
    with pytest.raises(DatasetError, match=r'a\.json is no'):
        read_coco(tmp_path / 'a.json')


def test_thousands_of_defects_are_counted_by_kind_with_the_first_five_ids(read):
    def change(c):
        one = c['annotations'][0]
        c['annotations'] = [dict(one, id=i, bbox=None, area=-1) for i in range(1, 3001)]

    with pytest.raises(DatasetError) as error:
        read(change)
    assert '3,000 of 3,000 annotations' in str(error.value)
    assert '(ids 1, 2, 3, 4, 5, ...)' in str(error.value)
    assert len(str(error.value)) < 300


def test_crowds_alone_are_refused(read):
    with pytest.raises(DatasetError, match='6 of 6 annotations are crowds'):
        read(lambda c: [a.update(iscrowd=1) for a in c['annotations']])


def test_masks_that_are_not_used_are_not_looked_at(read):
    found, _ = read(set_first('annotations', segmentation=[1, 2, 3]), masks=False)
    assert found['annotations'][0]['segmentation'] == [1, 2, 3]
    with pytest.raises(DatasetError, match='is one list of numbers, expected a list of polygons'):
        read(set_first('annotations', segmentation=[1, 2, 3]))


def test_a_mask_beside_its_box_is_refused(read):
    with pytest.raises(DatasetError, match=r'1 of 6 annotations have a mask that lies outside'):
        read(set_first('annotations', segmentation=[[30, 2, 38, 2, 38, 8]]))


def test_run_lengths_of_swapped_size_are_named(read):
    with pytest.raises(DatasetError, match=r'size is \[width, height\] of its image'):
        read(set_first('annotations', segmentation=dict(RUNS, size=[40, 30])))


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for size in [(1, 1), (3, 5), (30, 40), (1, 900), (900, 1)] * 20:
        mask = (rng.random(size) < rng.random()).astype(np.uint8)
        packed = rle.encode(np.asfortranarray(mask))
        runs = unpack_counts(packed['counts'].decode())
        pixels = np.repeat(np.arange(len(runs)) % 2, runs)
        assert np.array_equal(pixels.reshape(size[::-1]).T, mask)
        shapes = read_shapes(
            [dict(size=list(size), counts=packed['counts'].decode())], np.array([size[::-1]])
        )
        assert shapes.areas[0] == mask.sum() and not shapes.defects
        if mask.any():
            x, y, width, height = rle.toBbox(packed)
            assert shapes.boxes[0].tolist() == [x, y, x + width, y + height]
        else:
            assert shapes.empty[0]


def test_polygons_have_the_area_and_box_of_their_parts():
    parts = [[0, 0, 4, 0, 4, 3, 0, 3], [10, 10, 14, 10, 10, 16]]  # 12 and 12
    shapes = read_shapes([None, parts, [], parts[:1]], np.array([[40, 30]] * 4))
    assert shapes.areas.tolist() == [0, 24, 0, 12]
    assert shapes.boxes[1].tolist() == [0, 0, 14, 16]
    assert shapes.known.tolist() == [False, True, False, True]


def places(node, at=()):
    if at:
        yield at
    for key in node if isinstance(node, dict) else range(len(node)) if type(node) is list else ():
        yield from places(node[key], (*at, key))


def test_mutated_files_are_refused_or_survive_pycocotools(tmp_path):
    """300 seeded mutations of every place; what passes has masks where its boxes are."""
    rng = random.Random(0)
    values = [value for _, _, value in DEFECTS] + [SQUARE, RUNS, BOX]
    for i in (1, 2, 3):
        Image.new('RGB', (40, 30)).save(tmp_path / f'{i}.png')
    path, every, refused = tmp_path / 'ann.json', list(places(content())), 0
    for _ in range(300):
        changed, node = content(), None
        *above, last = rng.choice(every)
        node = changed
        for key in above:
            node = node[key]
        if rng.random() < 0.7:
            node[last] = copy.deepcopy(rng.choice(values))
        else:
            del node[last]
        path.write_text(json.dumps(changed))
        try:
            check_coco(path, tmp_path, ('cat', 'dog'))
        except DatasetError:
            refused += 1
            continue
        for a in read_coco(path).content['annotations']:
            mask = decode(a['segmentation'])
            ys, xs = np.nonzero(mask)
            x, y, width, height = a['bbox']
            assert x - 3 <= xs.max() and xs.min() <= x + width + 3
            assert y - 3 <= ys.max() and ys.min() <= y + height + 3
    assert 150 < refused < 300


def decode(segmentation) -> np.ndarray:
    found = segmentation
    if isinstance(found, list):
        found = rle.merge(rle.frPyObjects(found, 30, 40))
    elif isinstance(found['counts'], list):
        found = rle.frPyObjects(found, 30, 40)
    return rle.decode(found)


def test_ids_come_in_the_order_of_the_classes(tmp_path):
    categories = content()['categories']
    assert class_ids('a.json', categories, ('cat', 'dog')) == [3, 9]
    assert class_ids('a.json', categories, ('dog', 'cat')) == [9, 3]
    with pytest.raises(DatasetError, match=r'lacks 1 of the 1 classes: .*Dog, did you mean dog'):
        class_ids(Path('a.json'), categories, ('Dog',))
    with pytest.raises(DatasetError, match='twice'):
        class_ids('a.json', categories, ('dog', 'dog'))
