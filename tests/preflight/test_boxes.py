import copy
import json

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import missing_files
from mmc2fmae.images.orientation import upright_size
from mmc2fmae.preflight.boxes import check_coco

MASK = [[5, 5, 25, 5, 25, 25, 5, 25]]


@pytest.fixture
def coco(tmp_path):
    """Four images of 40 x 30 with 50 objects each, and a function that writes and checks."""
    (tmp_path / 'images').mkdir()
    images, annotations = [], []
    for i in range(4):
        Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / f'images/{i}.png')
        images.append(dict(id=i, file_name=f'{i}.png', width=40, height=30))
        for j in range(50):
            annotations.append(
                dict(id=50 * i + j, image_id=i, category_id=7, bbox=[5, 5, 20, 20], area=400,
                     iscrowd=0, segmentation=MASK)
            )  # fmt: skip
    content = dict(images=images, annotations=annotations, categories=[dict(id=7, name='cat')])

    def check(classes=('cat',), change=None, **options):
        changed = copy.deepcopy(content)
        if change:
            change(changed)
        path = tmp_path / 'ann.json'
        path.write_text(json.dumps(changed))
        return check_coco(path, tmp_path / 'images', classes, **options)

    check.folder = tmp_path / 'images'
    return check


def test_sound_files_pass(coco):
    found = coco()
    assert found.line.endswith('4 images and 200 annotations of 1 classes')
    assert all('annotation ids below 1 are counted' in note for note in found.notes)


def test_missing_images_are_counted_and_named(coco):
    for name in ('1.png', '3.png'):
        (coco.folder / name).unlink()
    with pytest.raises(DatasetError, match=r'2 of 4 images are missing, first .*images/1\.png'):
        coco()


def test_classes_must_be_categories(coco):
    with pytest.raises(DatasetError, match=r'lacks 1 of the 2 classes: dog.*: cat'):
        coco(classes=('cat', 'dog'))


def test_unlisted_categories_and_images_are_refused(coco):
    with pytest.raises(DatasetError, match=r'1 of 200 annotations .* ids \[9\].*list \[7\]'):
        coco(change=lambda c: c['annotations'][0].update(category_id=9))
    with pytest.raises(DatasetError, match='1 of 200 annotations belong to images'):
        coco(change=lambda c: c['annotations'][0].update(image_id=9))


def test_other_categories_are_reported_not_refused(coco):
    def add(content):
        content['categories'].append(dict(id=8, name='dog'))
        content['annotations'][0]['category_id'] = 8

    found = coco(change=add)
    assert '199 annotations of 1 classes' in found.line
    assert any('1 annotations of other categories are not used' in note for note in found.notes)


@pytest.mark.parametrize(
    ('box', 'fix'),
    [
        ([25, 15, 35, 28], 'x1, y1, x2, y2'),
        ([0.1, 0.1, 0.5, 0.5], 'relative to the image'),
        ([300, 300, 20, 20], 'resized'),
    ],
)
def test_wrong_boxes_are_told_apart(coco, box, fix):
    def change(content):
        for annotation in content['annotations']:
            annotation['bbox'] = box

    with pytest.raises(DatasetError, match=rf'(?s)200 of 200 boxes.*{fix}'):
        coco(change=change)


def test_the_odd_box_outside_passes_as_in_coco_itself(coco):
    coco(change=lambda c: c['annotations'][0].update(bbox=[30, 20, 20, 20]))


def test_masks_are_needed_only_for_masks(coco):
    def change(content):
        content['annotations'][3]['segmentation'] = []

    assert coco(change=change, masks=False)
    with pytest.raises(DatasetError, match=r'1 of 200 annotations have no segmentation.* ids 3'):
        coco(change=change)


def test_incomplete_boxes_are_named(coco):
    with pytest.raises(DatasetError, match='1 of 200 annotations have no bbox'):
        coco(change=lambda c: c['annotations'][0].pop('bbox'))


def test_images_resized_after_annotation_are_found(coco):
    Image.fromarray(np.zeros((15, 20, 3), np.uint8)).save(coco.folder / '2.png')
    with pytest.raises(DatasetError, match=r'2\.png is 20 x 15 pixels, .* says 40 x 30'):
        coco()


@pytest.mark.parametrize('text', ['{', '[]', '{"images": []}'])
def test_other_files_are_no_coco(tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(DatasetError, match=r'a\.json is no'):
        check_coco(tmp_path / 'a.json', tmp_path, ['cat'])
    with pytest.raises(DatasetError, match='does not exist'):
        check_coco(tmp_path / 'b.json', tmp_path, ['cat'])


def test_missing_files_in_missing_folders(tmp_path):
    (tmp_path / 'a').touch()
    paths = [str(tmp_path / 'a'), str(tmp_path / 'none/b')]
    assert missing_files(paths) == [str(tmp_path / 'none/b')]


def test_size_follows_the_exif_orientation(tmp_path):
    image = Image.fromarray(np.zeros((30, 40, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / 'a.jpg', exif=exif)
    assert upright_size(tmp_path / 'a.jpg') == (30, 40)
    (tmp_path / 'b.jpg').write_bytes(b'nothing')
    with pytest.raises(DatasetError, match=r'b\.jpg is no readable image'):
        upright_size(tmp_path / 'b.jpg')


def as_other_programs_mean(x, y, width, height):
    return {
        'x1, y1, x2, y2': [x, y, x + width, y + height],
        'y1, x1, y2, x2': [y, x, y + height, x + width],
        'y, x, height, width': [y, x, height, width],
        'centre x, centre y, width, height': [x + width / 2, y + height / 2, width, height],
    }


# Inside the image of 40 x 30 whichever of these is meant: no other check finds them.
INSIDE = [(8, 6, 7, 5), (10, 4, 9, 4), (4, 8, 5, 4), (9, 5, 4, 6), (6, 2, 10, 9)]


@pytest.mark.parametrize('order', as_other_programs_mean(0, 0, 0, 0))
@pytest.mark.parametrize('kind', ['polygon', 'run lengths'])
@pytest.mark.parametrize('box', INSIDE)
def test_boxes_in_another_order_are_told_by_their_masks(coco, order, kind, box):
    x, y, width, height = box
    polygon = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    ink = np.zeros((30, 40), bool)
    ink[y : y + height, x : x + width] = True
    edges = np.flatnonzero(np.diff(ink.ravel('F'), prepend=False, append=False))
    counts = np.diff(edges, prepend=0, append=ink.size).tolist()
    runs = dict(size=[30, 40], counts=counts)

    def change(content, bbox):
        for annotation in content['annotations']:
            shape = polygon if kind == 'polygon' else runs
            annotation.update(bbox=bbox, segmentation=shape, area=width * height)

    assert coco(change=lambda content: change(content, list(box))).line
    with pytest.raises(DatasetError) as error:
        coco(change=lambda content: change(content, as_other_programs_mean(*box)[order]))
    said = str(error.value)
    assert '200 of 200 annotations have a ' in said and '\n' not in said
    assert f'it looks like {order}, expected x, y, width, height' in said


def test_boxes_of_another_size_are_told_by_their_masks(coco):
    def change(content):
        for annotation in content['annotations']:
            annotation['bbox'] = [5, 5, 10, 10]

    with pytest.raises(DatasetError, match='not that of their mask, were the images resized'):
        coco(change=change)
    coco(change=lambda c: c['annotations'][0].update(bbox=[5, 5, 10, 10]))  # the odd one


NESTED = {
    'a level too deep': lambda polygon: [polygon],
    'two levels too deep': lambda polygon: [[polygon]],
    'points': lambda polygon: [list(zip(polygon[0][::2], polygon[0][1::2], strict=True))],
    'dicts': lambda polygon: [
        [dict(x=x, y=y) for x, y in zip(polygon[0][::2], polygon[0][1::2], strict=True)]
    ],
    'flat': lambda polygon: polygon[0],
}


@pytest.mark.parametrize('nesting', NESTED)
def test_polygons_of_another_nesting_are_named(coco, nesting):
    def change(content):
        for annotation in content['annotations']:
            annotation['segmentation'] = NESTED[nesting](MASK)

    with pytest.raises(DatasetError) as error:
        coco(change=change)
    said = dict(dicts='polygon', flat='is one list of numbers').get(nesting, 'nested too deeply')
    assert '200 of 200 annotations have a segmentation' in str(error.value)
    assert said in str(error.value)
