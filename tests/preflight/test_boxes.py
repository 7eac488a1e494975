import copy
import json

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import missing_files
from mmc2fmae.images import upright_size
from mmc2fmae.preflight.boxes import check_coco

MASK = [[1, 1, 9, 1, 9, 9, 1, 9]]


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
    assert '4 images and 200 annotations of 1 classes' in coco()


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

    assert '199 annotations of 1 classes; 1 annotations of other' in coco(change=add)


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
