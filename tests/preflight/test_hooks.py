from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.hooks import DatasetCheckHook, check_dataset, check_heads


def model(classes: int) -> nn.Module:
    roi = nn.Module()
    roi.bbox_head = nn.Linear(1, 1)
    roi.bbox_head.num_classes = classes
    whole = nn.Module()
    whole.roi_head = roi
    whole.rpn_head = nn.Linear(1, 1)
    whole.rpn_head.num_classes = 1  # object or not, whatever the classes
    return whole


def test_heads_must_have_the_classes_of_the_data():
    data = SimpleNamespace(metainfo=dict(classes=('cat', 'dog')))
    check_heads(model(2), data)
    with pytest.raises(DatasetError, match=r'roi_head\.bbox_head\.num_classes=2'):
        check_heads(model(80), data)
    wrapped = nn.Module()
    wrapped.module = model(80)  # as by MMDistributedDataParallel
    with pytest.raises(DatasetError, match=r'model\.roi_head\.bbox_head has num_classes=80'):
        check_heads(wrapped, data)


def test_one_class_written_as_a_text_is_named():
    with pytest.raises(DatasetError, match=r"write classes=\('cat',\)"):
        check_heads(model(3), SimpleNamespace(metainfo=dict(classes='cat')))


def test_wrapped_segmentation_data_are_found(tmp_path):
    from mmseg.datasets import BaseSegDataset

    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/a.jpg').touch()
    data = BaseSegDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('a', 'b')),
    )
    with pytest.raises(
        DatasetError, match=r'1 of 1 images have no mask, expected:\n.*masks/a\.png'
    ):
        check_dataset(SimpleNamespace(dataset=data))


def test_data_of_other_kinds_pass_unseen():
    assert check_dataset(torch.utils.data.TensorDataset(torch.zeros(1))) is None
    loader = SimpleNamespace(dataset=torch.utils.data.TensorDataset(torch.zeros(1)))
    DatasetCheckHook().before_test(SimpleNamespace(test_dataloader=loader))
