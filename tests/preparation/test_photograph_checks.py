import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import SampleError
from mmc2fmae.preparation import photograph_checks
from mmc2fmae.preparation.folders import Expected, Layout
from mmc2fmae.preparation.photograph_checks import (
    Rules,
    check_photograph,
    count_ids,
    instance_problem,
    read_header,
)
from mmc2fmae.preparation.statistics import Statistics

RULES = Rules(num_instances=4, classes=('sky', 'sea', 'cat'))
FOLDERS = dict(rgb='train', instance='instance/train', semantic='semantic/train')
# 4 x 6 pixels: 1 has 6, 2 has 3, 3 has 1 pixel
INSTANCE = np.array(
    [[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 2, 0], [0, 0, 0, 0, 2, 0], [3, 0, 0, 0, 2, 0]], np.uint8
)


@pytest.fixture
def layout(tmp_path) -> Layout:
    """A dataset of one photograph, a.jpg, 6 x 4 pixels."""
    for folder in FOLDERS.values():
        (tmp_path / folder).mkdir(parents=True)
    layout = Layout(str(tmp_path), FOLDERS)
    Image.new('RGB', (6, 4)).save(layout.path('rgb', 'a.jpg'))
    save(layout, instance=INSTANCE, semantic=np.array([[0] * 6, [1] * 6, [2] * 6, [255] * 6]))
    return layout


def save(layout: Layout, **maps: np.ndarray) -> None:
    for granularity, labels in maps.items():
        kind = np.uint8 if labels.max() < 256 else np.uint16
        Image.fromarray(labels.astype(kind)).save(layout.path(granularity, 'a.jpg'))


def found(layout: Layout, rules: Rules = RULES, expected: Expected | None = None) -> list:
    return [tuple(f) for f in check_photograph('a.jpg', layout, rules, expected)[1]]


def kinds(*arguments) -> list[str]:
    return [kind for kind, _, _ in found(*arguments)]


def test_ids_are_counted_in_blocks_as_in_one_go():
    labels = np.random.default_rng(0).integers(0, 700, (1100, 1000))  # more than one block
    assert count_ids(labels).tolist() == np.bincount(labels.ravel()).tolist()
    assert count_ids(np.zeros((2, 3), np.uint8)).tolist() == [6]


@pytest.mark.parametrize(
    ('counts', 'problem'),
    [
        ([24], ''),
        ([10, 6, 6, 1], ''),
        ([0, 5], ''),
        ([10, 5, 0, 2], '2 instances, but the ids are 1, 3'),
        ([10, 5, 2, 3], 'instance 3 (3 pixels) is larger than 2 (2 pixels)'),
        ([10, *[0] * 254, 9], 'a mask of 0 and 255: save the object as 1'),
    ],
)
def test_ids_without_gaps_by_falling_area_are_canonical(counts, problem):
    assert instance_problem(np.array(counts)) == problem


def test_a_good_photograph_gives_statistics_and_no_finding(layout):
    stats, findings = check_photograph('a.jpg', layout, RULES)
    assert findings == []
    assert stats == Statistics(
        modes=Counter(RGB=1),
        sizes=Counter({(6, 4): 1}),
        instances=Counter({3: 1}),
        covered=Counter({0.417: 1}),  # 10 of 24 pixels
        dropped=0,
        known=Counter({0.75: 1}),
        class_shares=Counter({0: 0.25, 1: 0.25, 2: 0.25, 255: 0.25}),
        class_photographs=Counter([0, 1, 2, 255]),
    )


def test_pixels_of_instances_beyond_the_model_are_counted_as_dropped(layout):
    rules = RULES._replace(num_instances=2)  # only instance 1 is kept: 3 + 1 of 24 pixels go
    stats, findings = check_photograph('a.jpg', layout, rules)
    assert stats.dropped == pytest.approx(4 / 24)
    assert [f[::2] for f in findings] == [('many', '3 instances')]
    assert kinds(layout, RULES._replace(num_instances=3)) == ['many']
    assert kinds(layout, RULES) == []


def test_any_ids_will_do_where_training_renumbers_them(layout):
    save(layout, instance=np.where(INSTANCE == 1, 700, 0))
    assert kinds(layout) == ['ids']
    assert kinds(layout, RULES._replace(rerank=True)) == []


def test_classes_outside_the_range_are_named_and_255_is_not(layout):
    save(layout, semantic=np.array([[0, 1, 2, 3, 254, 255]] * 4))
    file = 'semantic/train/a.png'
    assert found(layout) == [('classes', file, 'ids [3, 254], expected 0 to 2 or 255')]


def test_empty_and_unknown_maps_are_warnings(layout):
    save(layout, instance=np.zeros((4, 6)), semantic=np.full((4, 6), 255))
    assert kinds(layout) == ['empty', 'unknown']


@pytest.mark.parametrize('content', [b'', b'GIF?', None])
def test_unreadable_photographs_are_found(layout, content):
    path = layout.path('rgb', 'a.jpg')
    whole = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(whole, 'JPEG')
    path.write_bytes(whole.getvalue()[:-500] if content is None else content)
    ((kind, file, detail),) = found(layout)
    assert (kind, file) == ('photograph', 'train/a.jpg')
    assert {b'': 'empty file', b'GIF?': 'no image', None: 'truncated'}[content] in detail


def test_a_truncated_png_photograph_is_found(tmp_path):
    path = tmp_path / 'a.png'
    Image.effect_noise((200, 200), 90).save(path)
    assert read_header(path)[:3] == (200, 200, 'L')
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SampleError, match='truncated'):
        read_header(path)


def test_zeros_after_the_end_of_a_photograph_do_no_harm(layout):
    path = layout.path('rgb', 'a.jpg')
    path.write_bytes(path.read_bytes() + bytes(100))
    assert kinds(layout) == []


def test_damage_within_a_photograph_is_found_by_decoding(tmp_path):
    path = tmp_path / 'a.png'
    Image.effect_noise((200, 200), 90).save(path)
    damaged = bytearray(path.read_bytes())
    damaged[2000:2100] = bytes(100)
    path.write_bytes(damaged)
    read_header(path)
    with pytest.raises(SampleError):
        read_header(path, decode=True)


def test_a_photograph_beyond_the_limit_of_pillow_is_found(layout, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)  # Pillow refuses twice that
    assert kinds(layout) == ['photograph']


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_a_huge_photograph_is_a_warning(layout, monkeypatch):
    monkeypatch.setattr(photograph_checks, 'LARGE_PIXELS', 20)
    assert kinds(layout) == ['huge']


@pytest.mark.parametrize('mode', ['CMYK', 'L'])
def test_photographs_of_other_modes_are_fine(layout, mode):
    Image.new(mode, (6, 4)).save(layout.path('rgb', 'a.jpg'))
    stats, findings = check_photograph('a.jpg', layout, RULES)
    assert findings == [] and stats.modes == {mode: 1}


def test_maps_have_the_stored_size_not_the_one_that_exif_says(layout):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (6, 4)).save(layout.path('rgb', 'a.jpg'), exif=exif)
    assert found(layout) == [('rotated', 'train/a.jpg', 'EXIF orientation 6')]
    save(layout, instance=np.rot90(INSTANCE))
    assert found(layout)[1] == (
        'size',
        'instance/train/a.png',
        '4 x 6, the photograph is 6 x 4: the map is turned as EXIF orientation 6 says',
    )


@pytest.mark.parametrize(
    ('orientation', 'size'), [(2, (6, 4)), (3, (6, 4)), (4, (6, 4)), (8, (6, 6))]
)
def test_a_turn_at_the_same_size_is_a_defect_where_no_manifest_tells(layout, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', size).save(layout.path('rgb', 'a.jpg'), exif=exif)
    assert ('turned', 'train/a.jpg', f'EXIF orientation {orientation}') in found(layout)
    expected = Expected('', *size, 1)  # the labelling takes the stored pixels
    assert ('rotated', 'train/a.jpg', f'EXIF orientation {orientation}') in found(
        layout, expected=expected
    )


def test_missing_truncated_and_coloured_maps_are_told_apart(layout):
    layout.path('instance', 'a.jpg').unlink()
    Image.new('RGB', (6, 4)).save(layout.path('semantic', 'a.jpg'))
    (colour, missing) = found(layout)
    assert colour[:2] == ('map', 'semantic/train/a.png') and 'mode RGB (3 channels)' in colour[2]
    assert missing == ('missing', 'train/a.jpg', 'no instance map')
    path = layout.path('semantic', 'a.jpg')
    path.write_bytes(path.read_bytes()[:40])
    assert kinds(layout) == ['map', 'missing']
    path.unlink()
    assert found(layout) == [('missing', 'train/a.jpg', 'no instance and no semantic map')]


def test_the_manifest_is_compared_with_the_files(layout):
    assert kinds(layout, RULES, Expected('', 6, 4, 3)) == []
    details = [f[2] for f in found(layout, RULES, Expected('', 6, 5, 2))]
    assert details == [
        '6 x 4 pixels, the manifest says 6 x 5',
        '3 instances, the manifest says 2',
    ]


def test_a_photograph_that_could_not_be_labelled_is_no_defect(layout):
    error = Expected('no image')
    assert kinds(layout, RULES, error) == []  # it has maps all the same
    for granularity in layout.granularities:
        layout.path(granularity, 'a.jpg').unlink()
    Path(layout.path('rgb', 'a.jpg')).write_bytes(b'')
    assert found(layout, RULES, error) == [('unlabelled', 'train/a.jpg', 'no image')]


def frames(number):
    return [Image.new('RGB', (6, 4), (40 * i, 0, 0)) for i in range(number)]


@pytest.mark.parametrize(
    ('form', 'number', 'said'),
    [(form, n, n > 1) for form in ('GIF', 'TIFF', 'PNG', 'WEBP') for n in (1, 3)]
    + [('MPO', 2, False)],  # what phones save: the second is a map of brightness
)
def test_frames_that_are_not_read_are_a_warning(layout, form, number, said):
    first, *others = frames(number)
    many = dict(save_all=True, append_images=others) if others else {}
    first.save(layout.path('rgb', 'a.jpg'), form, **many)
    assert found(layout) == ([('frames', 'train/a.jpg', '3 frames or pages')] if said else [])


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L'])
@pytest.mark.parametrize('profile', [b'Adobe RGB (1998)', b'Display P3', b'IEC sRGB 2.1',
                                     'sRGB'.encode('utf-16-be'), None])  # fmt: skip
def test_other_colour_profiles_are_a_warning(layout, mode, profile):
    path = layout.path('rgb', 'a.jpg')
    Image.new(mode, (6, 4)).save(path, 'PNG', icc_profile=profile)
    odd = mode != 'L' and profile is not None and b'sRGB' not in profile.replace(b'\0', b'')
    assert kinds(layout) == ['profile'] * odd


@pytest.mark.parametrize('bits', [8, 10, 12, 14, 15, 16])
def test_sixteen_bits_that_hold_fewer_are_a_warning(layout, bits):
    pixels = np.full((4, 6), 2**bits - 1, np.uint16)
    Image.fromarray(pixels).save(layout.path('rgb', 'a.jpg'), 'PNG')
    assert kinds(layout) == ['dark'] * (bits < 15)


def test_ids_between_others_along_edges_are_a_warning(layout):
    rules = RULES._replace(rerank=True)
    square = Image.fromarray(np.kron(np.eye(2, dtype=np.uint8) * 9, np.ones((16, 16), np.uint8)))
    for how, expected in ((Image.Resampling.NEAREST, []), (Image.Resampling.BILINEAR, ['edges'])):
        labels = np.asarray(square.resize((21, 21), how))
        Image.new('RGB', (21, 21)).save(layout.path('rgb', 'a.jpg'))
        save(layout, instance=labels, semantic=np.zeros((21, 21), np.uint8))
        assert [kind for kind in kinds(layout, rules) if kind == 'edges'] == expected
