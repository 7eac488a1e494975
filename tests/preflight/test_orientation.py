"""Labels that may fit the turned or the stored picture are refused, by every check of labels."""

import json

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.datasets.transforms import LoadMultiGranular
from mmc2fmae.errors import DatasetError
from mmc2fmae.images.orientation import Stored
from mmc2fmae.preflight.boxes import check_coco
from mmc2fmae.preflight.masks import check_masks
from mmc2fmae.preflight.orientation import check_maps, undecided
from mmc2fmae.preparation.coco_json import coco_from_masks
from mmc2fmae.preparation.conversion import convert
from mmc2fmae.preparation.converters import from_folders

OBLONG, SQUARE = (48, 32), (32, 32)


def save(folder, orientations, size, form='JPEG', upright_labels=False):
    """Write photographs whose upper left corner, as stored, is bright, and masks of it."""
    suffix = {'JPEG': 'jpg', 'PNG': 'png', 'WEBP': 'webp', 'TIFF': 'tif'}[form]
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    mask[:8, :16] = 1
    for i, orientation in enumerate(orientations):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name in ('images/train', 'instance/train'):
            (folder / name).mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray(mask * 250).convert('RGB')
        photo.save(folder / f'images/train/{i}.{suffix}', form, exif=exif)
        labels = mask.T if upright_labels and orientation >= 5 else mask
        Image.fromarray(labels).save(folder / f'instance/train/{i}.png')
    return folder


def photographs(folder):
    return sorted((folder / 'images/train').iterdir())


def masks(folder):
    return sorted((folder / 'instance/train').iterdir())


def by_segmentation(folder):
    check_masks(
        [(str(p), str(m)) for p, m in zip(photographs(folder), masks(folder), strict=True)], 2
    )


def by_coco(folder):
    rows = [(path.name, Image.open(mask).size)
            for path, mask in zip(photographs(folder), masks(folder), strict=True)]  # fmt: skip
    content = dict(
        images=[dict(id=i, file_name=name, width=w, height=h)
                for i, (name, (w, h)) in enumerate(rows, 1)],
        annotations=[dict(id=i, image_id=i, category_id=1, bbox=[0, 0, 8, 8], area=64, iscrowd=0)
                     for i in range(1, len(rows) + 1)],
        categories=[dict(id=1, name='thing')],
    )  # fmt: skip
    (folder / 'x.json').write_text(json.dumps(content))
    check_coco(folder / 'x.json', folder / 'images/train', ['thing'], masks=False, max_sizes=1)


def by_masks_to_coco(folder):
    coco_from_masks(folder / 'images/train', folder / 'instance/train', ['thing'])


def by_conversion(folder):
    maps = from_folders(folder / 'images/train', folder / 'instance/train', None, ('no', 'yes'))
    convert(maps, folder / 'out', quiet=True)


def pretraining(folder):
    prefix = dict(rgb='images/train', instance='instance/train')
    return MultiGranularDataset(str(folder), prefix, [LoadMultiGranular()])


def by_pretraining(folder):
    check_maps(pretraining(folder))


CHECKS = [by_segmentation, by_coco, by_masks_to_coco, by_conversion, by_pretraining]


@pytest.mark.parametrize(
    ('check', 'form'),
    [(by_segmentation, form) for form in ('JPEG', 'PNG', 'WEBP', 'TIFF')]
    + [(check, 'JPEG') for check in CHECKS[1:]],
)
def test_turns_at_the_same_size_are_refused_with_count_names_and_fix(check, form, tmp_path):
    cases = [(o, OBLONG) for o in (2, 3, 4)] + [(o, SQUARE) for o in range(2, 9)]
    for number, (orientation, size) in enumerate(cases):
        folder = save(tmp_path / str(number), [1, orientation, 1], size, form)
        with pytest.raises(DatasetError) as error:
            check(folder)
        text = str(error.value)
        assert photographs(folder)[1].name in text and str(orientation) in text
        assert 'convert_dataset.py upright' in text and '--as-stored' in text
        assert '1 of 3 photographs' in text
        assert '\n' not in text or check is by_conversion


@pytest.mark.parametrize('check', CHECKS)
def test_pictures_without_a_turn_pass(check, tmp_path):
    check(save(tmp_path, [1, 1], OBLONG))


@pytest.mark.parametrize('check', [by_segmentation, by_coco, by_masks_to_coco])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_a_quarter_turn_is_told_by_the_size_of_the_labels(check, orientation, tmp_path):
    check(save(tmp_path / 'upright', [1, orientation, 1], OBLONG, upright_labels=True))
    with pytest.raises(DatasetError, match='48'):
        check(save(tmp_path / 'stored', [1, orientation, 1], OBLONG))


@pytest.mark.parametrize('check', [by_conversion, by_pretraining])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_maps_to_pretrain_on_have_the_stored_size(check, orientation, tmp_path):
    check(save(tmp_path, [1, orientation], OBLONG))


def test_maps_of_label_images_are_known_to_show_the_stored_pixels(tmp_path):
    save(tmp_path, [3, 2], OBLONG)
    (tmp_path / 'images/manifest_train.jsonl').write_text('')
    by_pretraining(tmp_path)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_pretraining_turns_maps_with_their_photograph(orientation, tmp_path):
    sample = pretraining(save(tmp_path, [orientation], OBLONG, 'PNG'))[0]
    bright = np.asarray(sample['rgb'])[..., 0] > 128
    assert bright.shape == ((32, 48) if orientation < 5 else (48, 32))
    assert (bright == (sample['instance'] == 1)).all() and bright.sum() == 8 * 16
    right, down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    assert bright[-1 if down else 0, -1 if right else 0]


@pytest.mark.parametrize('orientation', range(1, 9))
def test_which_turns_the_size_leaves_open(orientation):
    assert undecided(Stored(48, 32, orientation)) == (orientation in (2, 3, 4))
    assert undecided(Stored(32, 32, orientation)) == (orientation > 1)


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_maps_of_the_turned_size_are_refused_before_the_start(orientation, form, tmp_path):
    save(tmp_path, [1, orientation, 1], OBLONG, form, upright_labels=True)
    with pytest.raises(DatasetError, match=r'^1 maps have the size .* first .*1\.png; .*upright'):
        by_pretraining(tmp_path)
    (tmp_path / 'instance/train/1.png').write_bytes(b'')  # unreadable: left to training
    by_pretraining(tmp_path)
