"""One rule for each property of a photograph, whatever its format and whoever reads it."""

import io
import struct
import zlib

import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image, PngImagePlugin

from mmc2fmae.datasets.sample_io import read_rgb
from mmc2fmae.datasets.transforms.resizing import BoundedResizeEdge
from mmc2fmae.errors import DatasetError, SampleError
from mmc2fmae.evaluation.image_files import ImageFiles, find_images
from mmc2fmae.images.orientation import Stored, stored_size, turn, turn_image, upright_size
from mmc2fmae.images.rgb import middle, upright_rgb
from mmc2fmae.labeling.photographs import Photograph, read_photograph
from mmc2fmae.preparation.folders import Layout
from mmc2fmae.preparation.photograph_checks import read_header
from mmc2fmae.visualization.contact_sheets import read_tile
from mmc2fmae.web.uploads import Upload, read_uploads

# Fields of a stored picture of 2 x 3, and where each lies in the picture to be shown, as the EXIF
# standard says it: 6 is 'row 0 is the right-hand side, column 0 the top'.
SHOWN = {
    1: ('ABC', 'DEF'),
    2: ('CBA', 'FED'),
    3: ('FED', 'CBA'),
    4: ('DEF', 'ABC'),
    5: ('AD', 'BE', 'CF'),
    6: ('DA', 'EB', 'FC'),
    7: ('FC', 'EB', 'DA'),
    8: ('CF', 'BE', 'AD'),
}
GREY = dict(zip('ABCDEF', (0, 50, 100, 150, 200, 250), strict=True))
FIELD = 16


def picture(rows, mode='RGB'):
    values = np.array([[GREY[letter] for letter in row] for row in rows], np.uint8)
    return Image.fromarray(np.kron(values, np.ones((FIELD, FIELD), np.uint8))).convert(mode)


def fields(pixels):
    """Read the letters of a picture, whichever of its channels."""
    pixels = np.asarray(pixels)
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    middles = grey[FIELD // 2 :: FIELD, FIELD // 2 :: FIELD].astype(int)
    names = {value: letter for letter, value in GREY.items()}
    return tuple(
        ''.join(names[min(names, key=lambda n: abs(n - value))] for value in row)
        for row in middles.tolist()
    )


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def saved(kind, orientation, mode='RGB'):
    file, image = io.BytesIO(), picture(SHOWN[1], mode)
    if kind == 'XMP in JPEG':
        xmp = f'<x:xmpmeta tiff:Orientation="{orientation}"/>'.encode()
        data = b'http://ns.adobe.com/xap/1.0/\0' + xmp
        image.save(file, 'JPEG', quality=95)
        start = file.getvalue()
        return start[:2] + b'\xff\xe1' + struct.pack('>H', len(data) + 2) + data + start[2:]
    if kind == 'PNG of ImageMagick':
        hexed = exif(orientation).tobytes().hex()
        info = PngImagePlugin.PngInfo()
        info.add_text('Raw profile type exif', f'\nexif\n{len(hexed) // 2}\n{hexed}\n', zip=True)
        image.save(file, 'PNG', pnginfo=info)
        return file.getvalue()
    if kind == 'PNG with EXIF at its end':
        image.save(file, 'PNG')
        data = exif(orientation).tobytes().removeprefix(b'Exif\0\0')
        sums = struct.pack('>I', zlib.crc32(b'eXIf' + data))
        chunk = struct.pack('>I', len(data)) + b'eXIf' + data + sums
        return file.getvalue()[:-12] + chunk + file.getvalue()[-12:]
    form, options = KINDS[kind]
    image.save(file, form, exif=exif(orientation), **options)
    return file.getvalue()


KINDS = {
    'JPEG': ('JPEG', dict(quality=95)),
    'PNG': ('PNG', {}),
    'WebP': ('WEBP', dict(quality=95)),
    'TIFF': ('TIFF', {}),
    'TIFF with LZW': ('TIFF', dict(compression='tiff_lzw')),
    'TIFF with JPEG': ('TIFF', dict(compression='jpeg', quality=95)),
    'MPO': ('MPO', dict(quality=95)),
}
ALL_KINDS = [*KINDS, 'XMP in JPEG', 'PNG of ImageMagick', 'PNG with EXIF at its end']


def by_mmcv(backend, flag='color'):
    return lambda path: mmcv.imread(path, flag, backend=backend)


def by_upload(path):
    with open(path, 'rb') as file:
        upload = Upload('x', file.read())
    return read_uploads(dict(rgb=upload), lambda files: read_rgb(files['rgb']))


def by_loading(path):
    return LoadImageFromFile()(dict(img_path=path))['img']


def by_sheet(path):
    folder, name = path.rsplit('/', 1)
    tile = read_tile(name, Layout(folder, dict(rgb='.')))
    assert not isinstance(tile.photo, str), tile.photo
    size = upright_size(path)
    return Image.fromarray(tile.photo).resize(size, Image.Resampling.NEAREST)


READERS = {
    'training': read_rgb,
    'labelling': lambda path: read_photograph(path).pixels,
    'features': lambda path: ImageFiles([path], lambda image: image)[0],
    'web page': by_upload,
    'contact sheet': by_sheet,
    'LoadImageFromFile': by_loading,
    'mmcv': by_mmcv(None),
    'cv2': by_mmcv('cv2'),
    'pillow': by_mmcv('pillow'),
    'turbojpeg': by_mmcv('turbojpeg'),
    'tifffile': by_mmcv('tifffile'),
    'grey by cv2': by_mmcv('cv2', 'grayscale'),
    'grey by pillow': by_mmcv('pillow', 'grayscale'),
}


@pytest.mark.parametrize('mode', ['L', 'RGB'])
@pytest.mark.parametrize('kind', ALL_KINDS)
def test_exif_orientation_is_applied_by_every_reader(kind, mode, tmp_path):
    for orientation, shown in SHOWN.items():
        path = tmp_path / str(orientation)
        path.write_bytes(saved(kind, orientation, mode))
        assert stored_size(path) == Stored(48, 32, orientation)
        assert read_header(path)[:2] == (48, 32) and read_header(path).orientation == orientation
        assert upright_size(path) == (len(shown[0]) * FIELD, len(shown) * FIELD)
        seen = {name: fields(read(str(path))) for name, read in READERS.items()}
        assert seen == dict.fromkeys(READERS, shown), orientation


@pytest.mark.parametrize('orientation', [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation, tmp_path):
    for kind in ('JPEG', 'PNG', 'WebP', 'TIFF', 'MPO'):
        path = tmp_path / kind
        path.write_bytes(saved(kind, orientation))
        assert stored_size(path).orientation == 1
        seen = {name: fields(read(str(path))) for name, read in READERS.items()}
        assert seen == dict.fromkeys(READERS, SHOWN[1])


@pytest.mark.parametrize(
    'data', [b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0' + b'M' * 40]
)
def test_damaged_exif_data_do_not_hide_a_whole_photograph(data, tmp_path):
    for form in ('JPEG', 'PNG', 'WEBP'):
        path = tmp_path / form
        picture(SHOWN[1]).save(path, form, exif=data)
        seen = {name: fields(read(str(path))) for name, read in READERS.items()}
        assert seen == dict.fromkeys(READERS, SHOWN[1])


DEEP = np.array([[0, 256, 257, 514, 25700], [65535, 65534, 32896, 65277, 771]], np.uint16)
SHALLOW = [[0, 0, 1, 2, 100], [255, 254, 128, 253, 3]]  # divided by 257


@pytest.mark.parametrize(
    ('form', 'pixels', 'options'),
    [
        ('PNG', DEEP, {}),
        ('TIFF', DEEP, {}),
        ('TIFF', DEEP, dict(compression='tiff_lzw')),
        ('TIFF', DEEP.astype('>u2'), {}),
        ('TIFF', 65535 - DEEP, dict(tiffinfo={262: 0})),  # white is 0
        ('PPM', DEEP.astype(np.int32), {}),
        ('JPEG2000', DEEP, {}),
    ],
)
def test_16_bit_grey_is_divided_by_257_by_every_reader(form, pixels, options, tmp_path):
    for orientation in (1, 3) if form in ('PNG', 'TIFF') else (1,):
        path = tmp_path / str(orientation)
        if 'tiffinfo' in options:
            options['tiffinfo'][274] = orientation
        extra = {} if 'tiffinfo' in options else dict(exif=exif(orientation))
        Image.fromarray(pixels).save(path, form, **options, **extra)
        want = turn(np.array(SHALLOW), orientation)
        for name, read in READERS.items():
            if name == 'contact sheet':  # enlarged with a smooth filter
                continue
            seen = np.asarray(read(str(path)))
            assert ((seen if seen.ndim == 2 else seen[..., 1]) == want).all(), name


@pytest.mark.parametrize(
    ('pixels', 'said'),
    [
        (np.ones((4, 6), np.float32), r'fractions \(mode F\)'),
        (np.ones((4, 6), np.int32), r'32 bits or with a sign \(mode I\)'),
    ],
)
def test_pixels_of_32_bits_are_refused_by_name_by_every_reader(pixels, said, tmp_path):
    path = tmp_path / 'deep.tif'
    Image.fromarray(pixels).save(path)
    for name, read in dict(READERS, listing=find_images, check=read_header).items():
        if name == 'contact sheet':
            assert (
                'nothing tells what is white'
                in read_tile('deep.tif', Layout(str(tmp_path), dict(rgb='.'))).photo
            )
            continue
        with pytest.raises((SampleError, DatasetError, ValueError), match=said) as error:
            read(str(path))
        named = name in ('training', 'labelling', 'features', 'LoadImageFromFile', 'listing')
        assert ('deep.tif' in str(error.value)) == named, name


@pytest.mark.parametrize(
    ('mode', 'form', 'value', 'seen'),
    [
        ('1', 'PNG', 1, (255, 255, 255)),
        ('1', 'TIFF', 1, (255, 255, 255)),
        ('L', 'PNG', 77, (77, 77, 77)),
        ('LA', 'PNG', (77, 255), (77, 77, 77)),
        ('P', 'PNG', 5, (10, 20, 30)),
        ('P', 'GIF', 5, (10, 20, 30)),
        ('RGBA', 'PNG', (10, 20, 30, 255), (10, 20, 30)),
        ('RGBA', 'WEBP', (10, 20, 30, 255), (10, 20, 30)),
        ('CMYK', 'JPEG', (255, 0, 255, 0), (0, 255, 0)),
        ('CMYK', 'TIFF', (255, 0, 255, 0), (0, 255, 0)),
    ],
)
def test_every_mode_of_8_bits_becomes_rgb(mode, form, value, seen, tmp_path):
    image = Image.new(mode, (48, 32), value)
    if mode == 'P':
        image.putpalette([0] * 15 + [10, 20, 30])
    image.save(tmp_path / 'x', form, **(dict(lossless=True) if form == 'WEBP' else {}))
    for name in ('training', 'labelling', 'features', 'web page', 'contact sheet'):
        pixel = np.asarray(READERS[name](str(tmp_path / 'x')))[16, 24]
        assert np.abs(pixel.astype(int) - seen).max() <= 3, name
    for name in ('LoadImageFromFile', 'cv2', 'pillow', 'tifffile'):
        pixel = READERS[name](str(tmp_path / 'x'))[16, 24, ::-1]
        assert np.abs(pixel.astype(int) - seen).max() <= 3, name


def test_alpha_is_dropped_not_painted_over(tmp_path):
    Image.new('RGBA', (8, 8), (10, 20, 30, 0)).save(tmp_path / 'x.png')
    for name in ('training', 'labelling', 'features', 'web page'):
        pixel = np.asarray(READERS[name](str(tmp_path / 'x.png')))[4, 4]
        assert pixel.tolist() == [10, 20, 30], name


def test_ordinary_photographs_are_decoded_by_mmcv_to_the_same_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'x.jpg')
    content = (tmp_path / 'x.jpg').read_bytes()
    plain = mmcv.imfrombytes.args[0]  # mmcv's own function
    for backend in ('cv2', 'pillow'):
        for order in ('bgr', 'rgb'):
            ours = mmcv.imfrombytes(content, channel_order=order, backend=backend)
            assert (ours == plain(content, channel_order=order, backend=backend)).all()


def test_label_maps_that_mmcv_reads_are_left_to_it(tmp_path):
    Image.fromarray(DEEP).save(tmp_path / 'x.png', exif=exif(3))
    maps = mmcv.imread(tmp_path / 'x.png', 'unchanged', backend='pillow')
    assert (maps == DEEP).all()


@pytest.mark.parametrize('orientation', SHOWN)
def test_arrays_and_images_are_turned_alike(orientation):
    image = picture(SHOWN[1], 'L')
    assert fields(turn(np.asarray(image), orientation)) == SHOWN[orientation]
    assert fields(turn_image(image, orientation)) == SHOWN[orientation]


@pytest.mark.parametrize('orientation', SHOWN)
def test_maps_and_boxes_of_an_upright_picture_go_back_to_the_stored_one(orientation):
    upright = np.asarray(picture(SHOWN[orientation], 'L'))
    photo = Photograph(upright[..., None], 96, 64, orientation)
    assert fields(photo.as_stored(upright)) == SHOWN[1]
    y = next(y for y, row in enumerate(SHOWN[orientation]) if 'C' in row)
    x = SHOWN[orientation][y].index('C')  # as stored upper right, of twice the working size
    box = [x * FIELD, y * FIELD, (x + 1) * FIELD, (y + 1) * FIELD]
    assert photo.box_as_stored(box) == [64, 0, 96, 32]


@pytest.mark.parametrize(
    ('size', 'box'),
    [
        ((640, 480), (0, 0, 640, 480)),
        ((32, 1), (0, 0, 32, 1)),
        ((12000, 1), (5984, 0, 6016, 1)),
        ((2, 8000), (0, 3968, 2, 4032)),
        ((1, 1), (0, 0, 1, 1)),
    ],
)
def test_of_a_very_long_picture_the_middle_is_taken(size, box):
    assert middle(*size) == box


@pytest.mark.parametrize('size', [(200000, 1), (2, 60000)])
def test_strips_are_resized_in_bounded_memory(size, tmp_path):
    Image.new('RGB', size, (9, 9, 9)).save(tmp_path / 'x.png')
    (seen,) = ImageFiles([tmp_path / 'x.png'], lambda image: [image.size])[0]
    assert max(seen) <= 32 * min(seen)
    pixels = np.asarray(read_rgb(str(tmp_path / 'x.png')))
    resized = BoundedResizeEdge(256, edge='short')(dict(img=pixels))['img']
    assert min(resized.shape[:2]) == 256 and max(resized.shape[:2]) <= 32 * 256


def test_12_bit_tiff_is_scaled_by_its_own_range(tmp_path):
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    packed = bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048
    entries = b''.join(struct.pack('<HHIHH', tag, 3, 1, value, 0) for tag, value in tags.items())
    head = struct.pack('<2sHI', b'II', 42, 12) + packed + b'\0'
    (tmp_path / 'x.tif').write_bytes(head + struct.pack('<H', len(tags)) + entries + bytes(4))
    for name in ('training', 'cv2', 'pillow'):
        assert np.asarray(READERS[name](str(tmp_path / 'x.tif')))[0, :, 0].tolist() == [255, 127]


@pytest.mark.parametrize('size', [(12000, 1), (2, 8000)])
def test_a_strip_keeps_a_pixel_where_detection_resizes_it(size):
    resized = mmcv.imrescale(np.zeros((*size[::-1], 3), np.uint8), (384, 256))
    assert min(resized.shape[:2]) == 1 and max(resized.shape[:2]) == 384
    assert mmcv.rescale_size((640, 480), (384, 256), return_scale=True) == ((341, 256), 256 / 480)


def test_the_backend_that_mmcv_uses_by_default_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / 'x').write_bytes(saved('JPEG', 6))
    for backend in ('cv2', 'pillow', 'turbojpeg', 'tifffile'):
        monkeypatch.setattr('mmcv.image.io.imread_backend', backend)
        assert fields(mmcv.imread(tmp_path / 'x')) == SHOWN[6]
    (tmp_path / 'y').write_bytes(saved('JPEG', 1))
    assert fields(mmcv.imread(tmp_path / 'y')) == SHOWN[1]


def test_an_upright_picture_is_not_turned_again():
    image = Image.new('RGB', (4, 2))
    image.getexif()[0x0112] = 6
    once = upright_rgb(image)
    assert once.size == (2, 4) and upright_rgb(once).size == (2, 4)
    assert image.getexif()[0x0112] == 6  # what was given is left as it is
