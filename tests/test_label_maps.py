"""Every reader of label maps sees the ids that a file stores, or says why it does not."""

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image, features

from mmc2fmae.datasets.sample_io import read_colour_map, read_continuous_map, read_label_map
from mmc2fmae.datasets.transforms import LoadMultiGranular
from mmc2fmae.errors import DatasetError, SampleError
from mmc2fmae.label_ids import canonical_ids
from mmc2fmae.label_maps import between_others, wide_ids
from mmc2fmae.preflight.masks import check_masks
from mmc2fmae.preparation.coco_json import coco_from_masks
from mmc2fmae.preparation.converters import from_folders
from mmc2fmae.preparation.folders import Layout
from mmc2fmae.preparation.photograph_checks import Rules, check_photograph
from mmc2fmae.preparation.ranking import measure
from mmc2fmae.visualization.contact_sheets import read_tile
from tests.label_files import HEIGHT, WIDTH, bmp, by_pillow, ids_up_to, pgm, png, png_of, tiff

B1, B2, B4, B8, B16 = (ids_up_to(2**bits - 1) for bits in (1, 2, 4, 8, 16))
BITS = {1: B1, 2: B2, 4: B4, 8: B8}
PALETTE = Image.frombytes('P', (WIDTH, HEIGHT), B8.astype(np.uint8).tobytes())
STORED = {
    **{f'PNG grey {bits}': (png(ids, bits), ids) for bits, ids in BITS.items()},
    **{f'PNG grey {bits} tRNS': (png(ids, bits, False, True), ids) for bits, ids in BITS.items()},
    **{f'PNG palette {bits}': (png(ids, bits, True), ids) for bits, ids in BITS.items()},
    **{f'PNG palette {bits} tRNS': (png(ids, bits, True, True), ids) for bits, ids in BITS.items()},
    'PNG grey 16, few': (png(B4, 16), B4),
    'PNG grey 16, all': (png(B16, 16), B16),
    'PNG by Pillow': (by_pillow(B8.astype(np.uint8), 'PNG', optimize=True), B8),
    **{
        f'TIFF {order} {bits} photometric {photometric}': (
            tiff(ids, bits, order, photometric=photometric), ids
        )
        for order in '<>' for bits, ids in BITS.items() for photometric in (1, 3)
    },
    **{f'TIFF {o} 16': (tiff(B16, 16, o), B16) for o in '<>'},
    **{f'TIFF {o} int{b}': (tiff(B4, b, o, 'i'), B4) for o in '<>' for b in (16, 32)},
    'TIFF < int8': (tiff(B4, 8, '<', 'i'), B4),
    'TIFF < uint32': (tiff(B16, 32), B16),
    **{
        f'TIFF {packed} {ids.dtype}': (by_pillow(ids, 'TIFF', compression=packed), ids)
        for packed in ('tiff_lzw', 'tiff_adobe_deflate', 'packbits')
        for ids in (B8.astype(np.uint8), B16.astype(np.uint16))
    },
    'TIFF with an overview': (tiff(B8, 8, pages=2, subfile=1), B8),
    **{f'BMP {bits}': (bmp(ids, bits), ids) for bits, ids in BITS.items() if bits != 2},
    **{f'BMP grey {bits}': (bmp(BITS[bits], bits, True), BITS[bits]) for bits in (1, 8)},
    'GIF': (by_pillow(PALETTE, 'GIF'), B8),
    'PGM 255': (pgm(B8, 255), B8),
    'PGM 65535': (pgm(B16, 65535), B16),
    'PGM in text': (pgm(B8, 255, plain=True), B8),
}  # fmt: skip

RGB = np.repeat(B8[..., None], 3, axis=2).astype(np.uint8)
GREY = Image.fromarray(B8.astype(np.uint8))
LOSSY = 'which changes ids'
UNCERTAIN = 'do not tell ids for certain'
OUTSIDE = 'ids outside 0 to 65535'
TIFF = tiff(B8, 8)
ROWS, START = (struct.pack('<2H2I', tag, 4, 1, value) for tag, value in ((278, 30), (273, 8)))
PACKED = by_pillow(GREY, 'TIFF', compression='tiff_adobe_deflate')
REFUSED = {
    'JPEG': (by_pillow(GREY, 'JPEG', quality=100), LOSSY),
    'JPEG in colours': (by_pillow(RGB, 'JPEG'), LOSSY),
    'JPEG in TIFF': (by_pillow(GREY, 'TIFF', compression='jpeg'), LOSSY),
    'WebP': (by_pillow(RGB, 'WEBP'), LOSSY),
    'JPEG 2000': (by_pillow(GREY, 'JPEG2000'), LOSSY),
    **({'AVIF': (by_pillow(RGB, 'AVIF'), LOSSY)} if features.check('avif') else {}),
    **{f'RGB {form}': (by_pillow(RGB, form), r'mode RGB \(3') for form in ('PNG', 'TIFF', 'BMP')},
    **{
        f'{mode} {form}': (by_pillow(GREY.convert(mode), form), rf'mode {mode} \(.*without alpha')
        for mode in ('LA', 'RGBA') for form in ('PNG', 'TIFF')
    },
    **{f'TIFF inverted {b}': (tiff(i, b, photometric=0), UNCERTAIN) for b, i in BITS.items()},
    'PBM': (by_pillow(GREY.convert('1'), 'PPM'), UNCERTAIN),
    'PGM of 16 values': (pgm(B4, 15), UNCERTAIN),
    'PGM of 1000 values': (pgm(ids_up_to(999), 999), UNCERTAIN),
    'BMP grey 4': (bmp(B4, 4, grey=True), UNCERTAIN),
    'two pages': (tiff(B8, 8, pages=2), '2 pages or frames, expected 1'),
    **{
        f'two frames {form}': (
            by_pillow(GREY, form, save_all=True, append_images=[GREY.rotate(180)]),
            '2 pages or frames',
        )
        for form in ('PNG', 'GIF')
    },
    **{
        f'negative int{bits} {order}': (tiff(B4 - 1, bits, order, 'i'), f'{OUTSIDE}: -1')
        for order in '<>' for bits in (16, 32)
    },
    'negative int8': (tiff(B4 - 1, 8, '<', 'i'), f'{OUTSIDE}: -1'),
    'large uint32': (tiff(B8 + 2**32 - 256, 32), f'{OUTSIDE}: 4294967040, 4294967041'),
    'large int32': (tiff(B8 + 65281, 32, '<', 'i'), f'{OUTSIDE}: 65536'),
    **{f'whole floats {o}': (tiff(B8, 32, o, 'f'), r'floats \(0 are no whole') for o in '<>'},
    **{
        f'{odd} among floats': (tiff(np.where(B8 == 0, odd, B8), 32, '<', 'f'), f'floats {said}')
        for odd, said in (
            (2.5, r'\(3 are no whole numbers of 1,500'),
            (np.nan, r'\(3 are NaN or infinite of 1,500'),
            (-np.inf, r'\(3 are NaN or infinite of 1,500'),
        )
    },
    'float64': (tiff(B8, 64, '<', 'f'), 'pixel type that is not read'),
    'half a TIFF': (TIFF.replace(ROWS, ROWS[:-4] + b'\x0f\0\0\0'), 'for a part of the image'),
    'TIFF without offset': (TIFF.replace(START, START[:-4] + bytes(4)), 'begin in its header'),
    'truncated at a chunk': (png(B8, 8)[:-12], 'damaged or truncated PNG'),
    'damaged deflate': (
        PACKED[:40] + bytes([PACKED[40] ^ 1]) + PACKED[41:], 'damaged TIFF|truncated TIFF'
    ),
    'truncated': (png(B8, 8)[:-20], 'damaged or truncated PNG'),
    'empty': (b'', 'empty file'),
    'text': (b'0 1 2', 'no image of a format'),
}  # fmt: skip


@pytest.fixture
def layout(tmp_path) -> Layout:
    """Write a photograph of 50 x 30 pixels; its instance map is written by the tests."""
    for folder in ('train', 'instance/train'):
        (tmp_path / folder).mkdir(parents=True)
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'train/a.jpg')
    return Layout(str(tmp_path), dict(rgb='train', instance='instance/train'))


def files(layout: Layout) -> tuple[str, str]:
    return str(layout.path('rgb', 'a.jpg')), str(layout.path('instance', 'a.jpg'))


def by_reader(layout):
    return read_label_map(files(layout)[1])


def by_pretraining(layout):
    photo, path = files(layout)
    sample = dict(rgb_path=photo, instance_path=path, granularities=['rgb', 'instance'])
    return LoadMultiGranular()(sample)['instance']


def by_mmseg(layout):
    found = dict(seg_map_path=files(layout)[1], seg_fields=[], reduce_zero_label=False)
    return LoadAnnotations()(found)['gt_seg_map']


def by_contact_sheet(layout):
    found = read_tile('a.jpg', layout).instance  # 400 pixels wide, 8 times the map
    if isinstance(found, str):
        raise SampleError(found)
    return found[4::8, 4::8]


def areas(ids) -> dict[int, int]:
    """The area of each instance; 0 is the background."""
    numbers, counts = np.unique(ids[ids > 0], return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def areas_by_ranking(layout):
    record = measure('a.jpg', layout)
    return record and {one['id']: one['area'] for one in record['instances']}


def ids_by_preflight(layout):
    """All ids are outside no classes, and named."""
    with pytest.raises(DatasetError) as error:
        check_masks([files(layout)], 0, ignore=-1)
    return str(error.value)


def by_dataset_checker(layout):
    semantic = layout._replace(folders=dict(rgb='train', semantic='instance/train'))
    return check_photograph('a.jpg', semantic, Rules(classes=()))[1][0]


def by_conversion(layout):
    folders = (Path(layout.root, layout.folders[g]) for g in ('rgb', 'instance'))
    conversion = from_folders(*folders, None, ('background', 'object'))
    return conversion.read(conversion.items[0])['instance']


def by_masks_to_coco(layout):
    return coco_from_masks(*(Path(layout.root, f) for f in layout.folders.values()), ['object'])


@pytest.mark.parametrize('name', STORED)
def test_ids_are_what_the_file_stores_in_every_reader(name, layout):
    content, ids = STORED[name]
    Path(files(layout)[1]).write_bytes(content)
    for read in (by_reader, by_pretraining, by_contact_sheet):
        assert np.array_equal(read(layout), ids), read.__name__
    assert by_reader(layout).dtype in (np.uint8, np.int32)
    assert np.array_equal(by_conversion(layout), canonical_ids(ids))
    assert areas_by_ranking(layout) == areas(ids)
    values = np.unique(ids).tolist()
    assert by_dataset_checker(layout).detail.startswith(
        f'ids {[v for v in values if v != 255][:8]}'
    )
    assert f'mask values [{", ".join(map(str, values[:20]))}' in ids_by_preflight(layout)
    if len(values) < 300:  # seconds for those of 16 bits
        found = by_masks_to_coco(layout)['annotations']
        assert [one['area'] for one in found] == list(areas(ids).values())
    if ids.max() <= 255:
        assert np.array_equal(by_mmseg(layout), ids)
    else:
        with pytest.raises(SampleError, match=r'a\.png: label map has id 65535, expected 0 to 255'):
            by_mmseg(layout)


@pytest.mark.parametrize('name', REFUSED)
def test_what_stores_no_ids_is_named_by_every_reader(name, layout):
    content, said = REFUSED[name]
    path = files(layout)[1]
    Path(path).write_bytes(content)
    for read in (by_reader, by_pretraining, by_mmseg, by_conversion, by_masks_to_coco):
        with pytest.raises((SampleError, DatasetError), match=said) as error:
            read(layout)
        assert str(error.value).startswith(f'{path}: '), read.__name__
        assert '\n' not in str(error.value)
    with pytest.raises(SampleError, match=said):
        by_contact_sheet(layout)
    assert by_dataset_checker(layout).kind == 'map'
    assert f'{path}: ' in ids_by_preflight(layout)
    assert areas_by_ranking(layout) is None


@pytest.mark.parametrize('content', [png(B2, 2), png(B2, 2, True), png(B4, 16), tiff(B4, 8)])
@pytest.mark.parametrize('reduced', [False, True])
def test_mmseg_goes_on_with_the_ids_as_before(content, reduced, layout):
    Path(files(layout)[1]).write_bytes(content)
    ids = B2 if content in (png(B2, 2), png(B2, 2, True)) else B4
    found = dict(
        seg_map_path=files(layout)[1], seg_fields=[], reduce_zero_label=reduced, label_map={1: 200}
    )
    table = [255, *range(15)] if reduced else [*range(16)]  # 0 is not counted, class k is k - 1
    expected = np.array([200 if one == 1 else one for one in table])[ids]
    labels = LoadAnnotations()(found)['gt_seg_map']
    assert labels.dtype == np.uint8 and np.array_equal(labels, expected)
    assert found['seg_fields'] == ['gt_seg_map']


@pytest.mark.parametrize('seed', range(60))
def test_a_png_that_was_damaged_anywhere_is_not_read(seed, tmp_path):
    rng, content = random.Random(seed), bytearray(png(B8, 8, palette=seed % 2 == 1))
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] ^= rng.randint(1, 255)
    (tmp_path / 'a.png').write_bytes(content)
    with pytest.raises(SampleError, match=r'a\.png: '):
        read_label_map(str(tmp_path / 'a.png'))


@pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow's, of the damage
@pytest.mark.parametrize('seed', range(100))
def test_a_damaged_tiff_gives_ids_or_an_error(seed, tmp_path):
    rng = random.Random(seed)
    content = bytearray(tiff(B4, (8, 16, 32)[seed % 3], '<>'[seed % 2], 'ui'[seed // 2 % 2]))
    header = len(content) - 140  # of the tags, where a byte changes the meaning of all pixels
    for _ in range(rng.randint(1, 3)):
        content[rng.choice([rng.randrange(8), rng.randrange(header, len(content))])] = rng.choice(
            (0, 1, 2, 3, 4, 255, rng.randrange(256))
        )
    (tmp_path / 'a.tif').write_bytes(content)
    try:
        labels = read_label_map(str(tmp_path / 'a.tif'))
    except SampleError:
        return
    assert labels.ndim == 2 and 0 <= labels.min() <= labels.max() <= 65535


def test_colours_are_ids_only_without_loss(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(by_pillow(RGB, 'PNG'))
    assert np.array_equal(read_colour_map(str(path)), RGB)
    wide = png_of([(b'IHDR', b'\0\0\0\1\0\0\0\1\x10\2\0\0\0'), (b'IDAT', b''), (b'IEND', b'')])
    for content, said in (
        (by_pillow(RGB, 'JPEG', quality=100), LOSSY),
        (wide, r'mode RGB \(RGB;16B\), expected RGB of 8 bits'),
        (by_pillow(GREY, 'PNG'), r'mode L \(L\), expected RGB'),
    ):
        path.write_bytes(content)
        with pytest.raises(SampleError, match=said):
            read_colour_map(str(path))


def test_a_quantity_is_a_share_of_its_range_whatever_the_bits(tmp_path):
    path = tmp_path / 'depth'
    for content, most in ((png(B2, 2), 255 / 256), (png(B16, 16), 65535 / 65536)):
        path.write_bytes(content)
        values = read_continuous_map(str(path))
        assert values.dtype == np.float32 and (values.min(), values.max()) == (0, most)
    path.write_bytes(tiff(B4 - 1, 16, '<', 'i'))
    with pytest.raises(SampleError, match='values of -1 to 14, expected one channel'):
        read_continuous_map(str(path))


@pytest.mark.parametrize('width', [1, 2, 3, 700, 1_100_000])
@pytest.mark.parametrize('kind', [np.uint8, np.int32])
def test_ids_are_wide_where_four_pixels_of_a_square_have_them(width, kind):
    height = min(2_000_000 // width, 1600)
    labels = np.tile(np.array([[1, 2], [3, 4]], kind), (height, width))[:height, :width]
    labels = labels.copy()
    assert wide_ids(labels) == set()
    if min(labels.shape) > 1:
        labels[-2:, -2:] = 200
        labels[:2, :2] = 7
        labels[height // 2 : height // 2 + 2, width // 2 : width // 2 + 2] = 9
        expected = {
            int(labels[y, x])
            for y, x in ((0, 0), (height // 2, width // 2), (height - 2, width - 2))
            if y + 1 < height and x + 1 < width and len({*labels[y : y + 2, x : x + 2].flat}) == 1
        }
        assert wide_ids(labels) == expected


@pytest.mark.parametrize(
    ('ids', 'wide', 'expected'),
    [({0, 1, 2}, {0, 2}, [1]), ({0, 1, 2}, {0, 1}, []), ({5, 9}, set(), []), ({1, 5}, {5}, [])],
)
def test_ids_between_wide_ones_are_told(ids, wide, expected):
    assert between_others(ids, wide) == expected
