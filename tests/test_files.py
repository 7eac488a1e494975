import os
import shutil
import unicodedata

import pytest

from mmc2fmae.files import existing_folder, require_room, spelt_otherwise


def test_the_nearest_folder_that_exists_is_found(tmp_path):
    assert existing_folder(tmp_path / 'not/there/yet') == tmp_path.resolve()
    assert existing_folder(tmp_path) == tmp_path.resolve()


def test_too_little_room_names_folder_need_and_fix(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr('shutil.disk_usage', lambda _: usage._replace(free=3 * 2**20))
    require_room(tmp_path / 'new', 3 * 2**20, 'maps', 'free some')
    with pytest.raises(OSError, match=r'has 3\.0 MiB free, expected 3\.5 MiB for maps: free it$'):
        require_room(tmp_path / 'new', 7 * 2**19, 'maps', 'free it')
    with pytest.raises(OSError, match=r'has 0\.0 GiB free, expected 2\.0 GiB for maps'):
        require_room(tmp_path, 2 * 2**30, 'maps', 'free it')


def test_other_spellings_of_a_missing_file_are_found(tmp_path):
    composed, parted = (unicodedata.normalize(form, 'café') for form in ('NFC', 'NFD'))
    there = ['Photos/IMG_1.JPG', f'Photos/{parted}/a b.png', f'{composed}.jpg', 'dot.tar.png']
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    variants = {
        'Photos/img_1.jpg': there[0],
        'photos/IMG_1.JPG': there[0],
        'Photos/IMG_1.png': there[0],
        'Photos\\IMG_1.JPG': there[0],
        '.\\photos\\img_1.jpeg': there[0],
        f'Photos/{composed}/a b.png': there[1],
        f'Photos/{parted}/a%20b.png': there[1],
        f'photos\\{composed}\\A%20B.jpg': there[1],
        f'{parted}.jpg': there[2],
        f'{parted}.JPG': there[2],
        'DOT.TAR.PNG': there[3],
        'x/../dot.tar.PNG': there[3],
    }
    for written, meant in variants.items():
        said = spelt_otherwise([os.path.join(tmp_path, written)])
        assert ascii(str(tmp_path / meant)) in said, written
    for other in ('IMG_1.JPG', 'Photos/IMG_2.JPG', 'Photos/cafe/a b.png', 'dot.png', *there):
        assert spelt_otherwise([tmp_path / other]) == '', other
