import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import evenly
from mmc2fmae.preflight.masks import check_masks


@pytest.fixture
def pairs(tmp_path):
    """Write masks of given values, half and half, and return (photograph, mask) paths."""

    def write(*values, mode=np.uint8):
        found = []
        for i, (left, right) in enumerate(values):
            photo, path = tmp_path / f'{i}.jpg', tmp_path / f'{i}.png'
            Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(photo)
            mask = np.full((4, 6), left, mode)
            mask[:, 3:] = right
            Image.fromarray(mask).save(path)
            found.append((str(photo), str(path)))
        return found

    return write


def test_classes_and_255_pass(pairs):
    found = check_masks(pairs((0, 2), (1, 255)), 3)
    assert '2 of 2 masks read, 3 values' in found.line and not found.notes


def test_ade20k_counts_from_one(pairs):
    assert 'classes 1 to 3' in check_masks(pairs((0, 3), (1, 255)), 3, reduce_zero_label=True).line
    with pytest.raises(DatasetError, match=r'values \[4\] are outside'):
        check_masks(pairs((0, 4)), 3, reduce_zero_label=True)


def test_values_outside_come_with_their_shares_and_the_file(pairs):
    with pytest.raises(DatasetError) as error:
        check_masks(pairs((0, 1), (0, 7)), 2)
    text = str(error.value)
    assert 'mask values [7] are outside the classes, the first is 7 in' in text
    assert '1.png' in text
    assert '0 (50.000%), 1 (25.000%), 7 (25.000%)' in text and '\n' not in text


def test_sixteen_bit_values_do_not_wrap_around(pairs):
    with pytest.raises(DatasetError, match=r'values \[256\]'):
        check_masks(pairs((0, 256), mode=np.uint16), 2)


def test_classes_that_start_at_one_are_named(pairs):
    with pytest.raises(DatasetError, match='set reduce_zero_label=True'):
        check_masks(pairs((0, 1), (2, 3)), 3)


@pytest.mark.parametrize('classes', [2, 150])
def test_binary_masks_of_0_and_255_are_named_as_such(pairs, classes):
    with pytest.raises(DatasetError, match=r'binary, 0 and 255.*save the object as 1'):
        check_masks(pairs((0, 255), (0, 0)), classes)


def test_nothing_labelled_is_an_error(pairs):
    with pytest.raises(DatasetError, match='no pixel of any mask is labelled'):
        check_masks(pairs((0, 0)), 3, reduce_zero_label=True)
    with pytest.raises(DatasetError, match='no images'):
        check_masks([], 3)


def test_missing_coloured_and_unequal_masks_are_named(pairs, tmp_path):
    found = pairs((0, 1), (0, 1))
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(found[1][1])
    with pytest.raises(DatasetError, match=r'1\.png is 5 x 4 pixels, its photograph .* is 6 x 4'):
        check_masks(found, 2)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(found[1][1])
    with pytest.raises(DatasetError, match=r'1\.png: label map has mode RGB'):
        check_masks(found, 2)
    (tmp_path / '1.png').unlink()
    with pytest.raises(DatasetError, match=r'1 of 2 images have no mask'):
        check_masks(found, 2)


def test_images_of_a_list_that_are_gone_are_named(pairs, tmp_path):
    found = pairs(*[(0, 1)] * 8)
    for i in range(1, 8):
        (tmp_path / f'{i}.jpg').unlink()
    with pytest.raises(
        DatasetError, match=r'^7 of 8 listed images .*5\.jpg and 2 more \(there is .*1\.png.*\): '
    ):
        check_masks(found, 2, most=1)


def test_a_sample_is_spread_over_all():
    assert evenly(range(10), 4) == [0, 3, 6, 9]
    assert evenly([1, 2], None) == evenly([1, 2], 5) == [1, 2]


def write_maps(folder, *maps, palettes=None):
    """Write masks, with photographs of their size, and return (photograph, mask) paths."""
    found = []
    for i, pixels in enumerate(maps):
        pixels = np.asarray(pixels, np.uint8)
        photo, path = folder / f'{i}.jpg', folder / f'{i}.png'
        Image.fromarray(np.zeros((*pixels.shape, 3), np.uint8)).save(photo)
        image = Image.fromarray(pixels)
        if palettes:
            image = Image.fromarray(pixels, 'P')
            image.putpalette(sum(palettes[i], ()))
        image.save(path)
        found.append((str(photo), str(path)))
    return found


SQUARE = np.kron(np.eye(4, dtype=np.uint8), np.ones((8, 8), np.uint8))
HOW = dict(near=Image.Resampling.NEAREST, linear=Image.Resampling.BILINEAR,
           cubic=Image.Resampling.BICUBIC, area=Image.Resampling.BOX)  # fmt: skip


@pytest.mark.parametrize('how', HOW)
@pytest.mark.parametrize('highest', [2, 4, 8, 20])
@pytest.mark.parametrize('side', [11, 21, 27, 31])
def test_ids_that_resizing_invented_are_named(tmp_path, how, highest, side):
    image = Image.fromarray(SQUARE * highest).resize((side, side), HOW[how])
    notes = check_masks(write_maps(tmp_path, image, SQUARE * highest), 30).notes
    invented = [note for note in notes if 'resized by interpolation' in note]
    assert len(invented) == (how != 'near')


def test_thin_classes_that_are_wide_elsewhere_are_none_of_interpolation(tmp_path):
    thin = SQUARE * 2
    thin[3] = 1  # a wire
    assert 'interpolation' in check_masks(write_maps(tmp_path, thin), 3).notes[0]
    assert not check_masks(write_maps(tmp_path, thin, SQUARE), 3).notes


RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


@pytest.mark.parametrize(
    ('palettes', 'said'),
    [
        ([(RED, BLUE), (RED, BLUE)], False),
        ([(RED, BLUE), (RED, BLUE, GREEN)], False),
        ([(RED, BLUE), (GREEN, BLUE)], False),  # another colour of 0: no id changes its meaning
        ([(RED, BLUE), (BLUE, RED)], True),
        ([(RED, BLUE), (GREEN, RED)], True),
        ([(RED, RED), (BLUE, RED)], False),  # a palette that tells nothing apart
    ],
)
def test_palettes_that_give_a_colour_to_two_ids_are_named(tmp_path, palettes, said):
    notes = check_masks(write_maps(tmp_path, SQUARE, SQUARE, palettes=palettes), 2).notes
    assert any('the palettes differ: the colour (' in n for n in notes) == said


@pytest.mark.parametrize(
    ('values', 'options', 'said'),
    [
        ([(0, 1), (1, 2)], {}, None),
        ([(0, 1), (0, 0)], {}, '1 of 3 classes are in no mask: 2'),
        ([(0, 255), (0, 0)], dict(ignore=9), None),  # refused: binary
        ([(1, 1), (1, 255)], {}, 'every labelled pixel is 1: there is nothing to tell apart'),
        ([(0, 1), (0, 1)], dict(reduce_zero_label=True), 'every labelled pixel is 1'),
        ([(0, 3), (0, 1)], dict(reduce_zero_label=True), '1 of 3 classes are in no mask: 2'),
        ([(0, 1), (0, 1)], dict(most=1), None),  # what was not read may have it
    ],
)
def test_classes_that_no_mask_has_are_told(pairs, values, options, said):
    if options == dict(ignore=9):
        with pytest.raises(DatasetError, match='binary'):
            check_masks(pairs(*values), 3, **options)
        return
    notes = check_masks(pairs(*values), 3, **options).notes
    assert [said in note for note in notes] == [True] if said else not notes
