"""Formats that run a program are never opened, by whichever reader."""

import ast
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from PIL import EpsImagePlugin, Image

from mmc2fmae.datasets.sample_io import read_label_map, read_rgb
from mmc2fmae.errors import DatasetError, SampleError
from mmc2fmae.evaluation.image_files import find_images
from mmc2fmae.images.opening import FORMATS, open_image
from mmc2fmae.images.orientation import stored_size
from mmc2fmae.labeling.photographs import read_photograph
from mmc2fmae.preparation.photograph_checks import read_header
from mmc2fmae.web.uploads import Upload, read_uploads

ROOT = Path(__file__).parents[2]
EPS = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n'
OTHERS = {
    'PostScript (EPS)': EPS,
    'a PDF': b'%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n%%EOF\n',
    'an SVG': b'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"></svg>',
    'a WMF': b'\xd7\xcd\xc6\x9a\0\0' + struct.pack('<4hH', 0, 0, 320, 320, 96) + bytes(40),
}
DOS_EPS = b'\xc5\xd0\xd3\xc6' + struct.pack('<6I', 32, len(EPS), 0, 0, 0, 0) + bytes(4) + EPS


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program named gs, first on the PATH, that leaves a file behind when it is called."""
    flag = tmp_path / 'called'
    program = tmp_path / 'bin' / 'gs'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ntouch {flag}\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{program.parent}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr(EpsImagePlugin, 'gs_binary', None)
    return flag


def test_the_fake_ghostscript_would_be_noticed(ghostscript):
    with pytest.raises(OSError, match=r'.'), Image.open(io.BytesIO(EPS)) as image:
        image.load()
    assert ghostscript.exists()


def load_with_mmcv(path):
    LoadImageFromFile(imdecode_backend='pillow')(dict(img_path=path))


def load_mask_with_mmseg(path):
    LoadAnnotations()(dict(seg_map_path=path, seg_fields=[], reduce_zero_label=False))


READERS = {
    read_rgb: SampleError,
    read_label_map: SampleError,
    read_header: SampleError,
    read_photograph: SampleError,
    stored_size: DatasetError,
    find_images: ValueError,
    load_with_mmcv: SampleError,
    load_mask_with_mmseg: SampleError,
    lambda path: read_uploads(dict(rgb=Upload(path, Path(path).read_bytes())), open): SampleError,
}


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('content', [*OTHERS.values(), DOS_EPS], ids=[*OTHERS, 'DOS EPS'])
def test_programs_in_disguise_are_refused_by_name(reader, content, suffix, tmp_path, ghostscript):
    path = tmp_path / f'photo{suffix}'
    path.write_bytes(content)
    name = next((name for name, data in OTHERS.items() if data == content), 'PostScript (EPS)')
    with pytest.raises(READERS[reader]) as error:
        reader(str(path))
    assert f'{name} inside, no image of a format that is read (JPEG, ' in str(error.value)
    assert not ghostscript.exists()


@pytest.mark.parametrize('name', FORMATS)
def test_the_formats_that_photographs_have_are_read(name, tmp_path):
    if name == 'AVIF' and 'AVIF' not in Image.registered_extensions().values():
        pytest.skip('this Pillow has no AVIF')
    pixels = np.full((32, 40, 3), 128, np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'x', name)
    with open_image(tmp_path / 'x') as image:
        assert image.size == (40, 32) and image.format == name
        assert np.abs(np.asarray(image.convert('RGB')).astype(int) - 128).max() <= 4


def test_the_two_pictures_of_a_phone_are_read(tmp_path):
    first, second = (Image.new('RGB', (32, 32), colour) for colour in ('red', 'blue'))
    first.save(tmp_path / 'x.jpg', 'MPO', save_all=True, append_images=[second])
    with open_image(tmp_path / 'x.jpg') as image:
        assert image.format == 'MPO' and image.convert('RGB').getpixel((9, 9))[0] > 250


@pytest.mark.parametrize(
    ('content', 'said'), [(b'', 'empty file'), (b'text', '^no image of a format that is read')]
)
def test_what_is_no_image_is_said(content, said, tmp_path):
    (tmp_path / 'x.jpg').write_bytes(content)
    with pytest.raises(OSError, match=said):
        open_image(tmp_path / 'x.jpg')


def test_no_other_line_of_the_project_opens_an_image():
    found = []
    # Benchmarks compare decoders.
    for path in sorted([*ROOT.glob('mmc2fmae/**/*.py'), *ROOT.glob('tools/*.py')]):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Attribute(ast.Name('Image'), 'open')):
                    found.append(f'{path.relative_to(ROOT)}:{node.lineno}')
                case ast.Call(ast.Attribute(_, 'imread' | 'imdecode' | 'imread_v2')):
                    found.append(f'{path.relative_to(ROOT)}:{node.lineno}')
    files = [place.split(':')[0] for place in found]
    assert files == ['mmc2fmae/images/jpegs.py', 'mmc2fmae/images/opening.py']
