import io
import os

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.datasets.sample_io import read_rgb
from mmc2fmae.errors import SampleError
from mmc2fmae.web import uploads
from mmc2fmae.web.uploads import Upload, read_uploads


def encode(array, suffix='PNG', **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(file, suffix, **options)
    return file.getvalue()


PHOTO = Upload('cat.png', encode(np.zeros((40, 48, 3))))
MAP = Upload('cat_ids.png', encode(np.zeros((40, 48))))


def test_files_are_there_while_they_are_read_and_gone_afterwards():
    def read(files):
        assert {name: os.path.isfile(path) for name, path in files.items()} == dict(
            rgb=True, instance=True
        )
        return files

    files = read_uploads(dict(rgb=PHOTO, instance=MAP), read)
    assert not any(map(os.path.exists, files.values()))


@pytest.mark.parametrize('data', [b'', b'no image', PHOTO.data[:60], PHOTO.data[:-30]])
def test_unreadable_uploads_are_named(data):
    with pytest.raises(SampleError, match=r'cat\.txt \(photograph\) cannot be read'):
        read_uploads(dict(rgb=Upload('cat.txt', data)), read_rgb)
    with pytest.raises(SampleError, match=r'cat\.txt \(semantic map\) cannot be read'):
        read_uploads(dict(rgb=PHOTO, semantic=Upload('cat.txt', data)), read_rgb)


def test_huge_images_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(uploads, 'MOST_PIXELS', 40 * 48 - 1)
    with pytest.raises(SampleError, match='48 x 40 pixels'):
        read_uploads(dict(rgb=PHOTO), read_rgb)


def test_maps_alone_are_refused():
    with pytest.raises(SampleError, match='no photograph'):
        read_uploads(dict(instance=MAP), read_rgb)


def test_errors_call_files_by_the_names_in_the_browser(study):
    small = Upload('other.png', encode(np.zeros((30, 30))))
    with pytest.raises(SampleError) as caught:
        read_uploads(dict(rgb=PHOTO, semantic=small), lambda files: study.read('cat', files))
    assert 'other.png: semantic map is 30 x 30' in str(caught.value)
    assert 'photograph cat.png is 48 x 40' in str(caught.value)
    assert '/' not in str(caught.value)


def test_ids_out_of_range_are_refused(study):
    ids = Upload('ids.png', encode(np.full((40, 48), 9)))
    with pytest.raises(SampleError, match=r'ids\.png: semantic class ids \[9\] are out of range'):
        read_uploads(dict(rgb=PHOTO, semantic=ids), lambda files: study.read('cat', files))


def test_a_photograph_is_turned_upright_unless_that_leaves_open_what_its_maps_show():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    data = encode(np.zeros((20, 30, 3)), 'JPEG', exif=exif)
    upload = Upload('phone.jpg', data)
    assert read_uploads(dict(rgb=upload), lambda f: read_rgb(f['rgb']).size) == (20, 30)
    files = dict(rgb=upload, instance=Upload('ids.png', encode(np.zeros((20, 30)))))
    assert read_uploads(files, lambda f: read_rgb(f['rgb']).size) == (20, 30)
    exif[0x0112] = 3
    half = Upload('phone.jpg', encode(np.zeros((20, 30, 3)), 'JPEG', exif=exif))
    with pytest.raises(SampleError, match=r'phone\.jpg .* has EXIF orientation 3, and nothing'):
        read_uploads(files | dict(rgb=half), open)
    assert read_uploads(dict(rgb=half), lambda f: read_rgb(f['rgb']).size) == (30, 20)
