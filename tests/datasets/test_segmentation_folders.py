from pathlib import Path

import pytest

from mmc2fmae.datasets.segmentation_folders import SegmentationFolders
from mmc2fmae.errors import DatasetError


@pytest.fixture
def build(tmp_path):
    """A function that writes photographs of given names and returns what is read of them."""

    def build(*names, **options):
        for name in names:
            (tmp_path / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'images' / name).touch()
        data = SegmentationFolders(
            data_root=str(tmp_path),
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            metainfo=dict(classes=('a', 'b')),
            **options,
        )
        infos = [data.get_data_info(i) for i in range(len(data))]
        return [
            (Path(i['img_path']).name, str(Path(i['seg_map_path']).relative_to(tmp_path / 'masks')))
            for i in infos
        ]

    return build


def test_every_suffix_is_read_with_its_mask(build):
    assert build('a.jpg', 'b.JPG', 'c.jpeg', 'x/d.png', 'notes.txt') == [
        ('a.jpg', 'a.png'), ('b.JPG', 'b.png'), ('c.jpeg', 'c.png'), ('d.png', 'x/d.png'),
    ]  # fmt: skip


def test_two_photographs_of_one_mask_and_none_at_all_are_refused(build):
    with pytest.raises(DatasetError, match='holds no photographs'):
        build('notes.txt')
    with pytest.raises(DatasetError, match=r'share their maps: a\.jpg and a\.png'):
        build('a.jpg', 'a.png')


def test_a_list_is_read_as_by_mmseg(build, tmp_path):
    (tmp_path / 'list.txt').write_text('b')
    assert build('a.jpg', 'b.jpg', ann_file='list.txt') == [('b.jpg', 'b.png')]
