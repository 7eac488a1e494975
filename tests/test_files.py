import shutil

import pytest

from mmc2fmae.files import existing_folder, require_room


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
