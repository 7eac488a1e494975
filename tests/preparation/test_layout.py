import zlib

import cv2
import numpy as np
import pytest

from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation.layout import (
    LabelInfo,
    claim_labels,
    coco_panoptic_classes,
    encode_map,
    label_info,
    link_photographs,
    map_path,
    read_label_info,
    write_map,
)


@pytest.mark.parametrize(
    ('largest', 'dtype'), [(0, np.uint8), (255, np.uint8), (256, np.int32), (65535, np.int32)]
)
def test_maps_come_back_with_the_ids_that_were_written(tmp_path, largest, dtype):
    ids = np.random.default_rng(0).integers(0, largest + 1, (37, 23))
    ids[3, 4] = largest
    path = map_path(tmp_path, 'instance', 'train', 'n01/a.b.JPEG')
    assert path == tmp_path / 'instance/train/n01/a.b.png'
    write_map(path, ids)
    read = read_label_map(str(path))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, ids)
    assert [p.name for p in path.parent.iterdir()] == ['a.b.png']  # nothing aside is left


@pytest.mark.skipif(not hasattr(cv2, 'IMWRITE_PNG_FILTER'), reason='this OpenCV chooses filters')
def test_equal_maps_give_equal_bytes_of_an_unfiltered_png():
    ids = np.zeros((64, 50), np.int64)
    ids[20:40, 10:50] = 3
    data = encode_map(ids)
    assert data == encode_map(ids.astype(np.uint8))
    assert data[24:26] == bytes([8, 0])  # 8 bits, grey
    start = data.index(b'IDAT')
    length = int.from_bytes(data[start - 4 : start], 'big')
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8)
    assert not rows.reshape(64, 1 + 50)[:, 0].any()  # each row's first byte is its filter
    assert encode_map(ids + 300)[24:26] == bytes([16, 0])


def test_label_info_is_read_back_and_checked(tmp_path):
    assert read_label_info(tmp_path) is None
    info = label_info(['sky', 'sea'], dict(kind='x', values=[1, 2]))
    info.write(tmp_path)
    assert read_label_info(tmp_path) == info == LabelInfo(('sky', 'sea'), info.source)
    with pytest.raises(ValueError, match='1 classes: expected 2 to 255'):
        label_info(['sky'], {})
    (tmp_path / 'labels.json').write_text('{"semantic_classes": ["sky"')
    with pytest.raises(DatasetError, match=r'labels\.json is damaged'):
        read_label_info(tmp_path)


def test_there_are_133_coco_classes_things_first():
    classes = coco_panoptic_classes()
    assert len(set(classes)) == 133
    assert (classes[0], classes[79], classes[80], classes[132]) == (
        'person', 'toothbrush', 'banner', 'rug-merged',
    )  # fmt: skip


def test_photographs_are_linked_once_and_to_one_folder(tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'others').mkdir()
    for _ in range(2):
        link_photographs(tmp_path / 'photos', tmp_path / 'out', 'train')
    assert (tmp_path / 'out/train').resolve() == tmp_path / 'photos'
    link_photographs(tmp_path / 'photos', tmp_path, 'photos')  # is there already
    with pytest.raises(DatasetError, match='is there already and is not'):
        link_photographs(tmp_path / 'others', tmp_path / 'out', 'train')


def test_every_split_keeps_what_made_its_maps(tmp_path):
    claim_labels(tmp_path, 'train', ('a', 'b'), dict(kind='k'), dict(amp='off'))
    claim_labels(tmp_path, 'val', ('a', 'b'), dict(kind='k'), dict(amp='bf16'))
    info = read_label_info(tmp_path)
    assert info.semantic_classes == ('a', 'b')
    assert info.source == dict(kind='k', splits=dict(train=dict(amp='off'), val=dict(amp='bf16')))


@pytest.mark.parametrize(
    ('classes', 'source'), [(('a', 'c'), dict(kind='k')), (('a', 'b'), dict())]
)
def test_maps_of_another_source_are_not_mixed_in(tmp_path, classes, source):
    label_info(classes, source | dict(splits={})).write(tmp_path)
    with pytest.raises(DatasetError, match='holds maps of another source'):
        claim_labels(tmp_path, 'train', ('a', 'b'), dict(kind='k'), {})
