from types import SimpleNamespace

import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.suffixes import photographs_left_out


class Folder(SimpleNamespace):
    def __len__(self):
        return self.read


def test_photographs_of_other_suffixes_are_counted(tmp_path):
    for name in ('a.jpg', 'b.JPG', 'c.JPG', 'd.png', 'notes.txt'):
        (tmp_path / name).touch()
    folder = dict(ann_file='', data_prefix=dict(img_path=str(tmp_path)), img_suffix='.jpg')
    (said,) = photographs_left_out(Folder(read=1, **folder))
    assert '3 photographs' in said and '(2 .JPG, 1 .png)' in said
    with pytest.raises(DatasetError, match='SegmentationFolders'):
        photographs_left_out(Folder(read=0, **folder))
    assert photographs_left_out(Folder(read=1, **(folder | dict(ann_file='list.txt')))) == []
    assert photographs_left_out(Folder(read=4, **folder)) == []  # by SegmentationFolders
