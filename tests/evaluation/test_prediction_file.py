"""One line a photograph, in Parquet."""

import sys

import pytest
import torch

from mmc2fmae.evaluation.prediction_file import PredictionFile


def test_every_photograph_has_its_line(tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    metric = PredictionFile(tmp_path / 'new/predictions.parquet')
    samples = [
        dict(img_path='a.jpg', gt_label=torch.tensor([1]), pred_score=torch.tensor([0.25, 0.75])),
        dict(img_path='b.jpg', gt_label=torch.tensor([1]), pred_score=torch.tensor([0.875, 0.125])),
    ]
    metric.process({}, samples)
    assert metric.evaluate(size=2) == {}
    table = parquet.read_table(tmp_path / 'new/predictions.parquet').to_pylist()
    assert [line['path'] for line in table] == ['a.jpg', 'b.jpg']
    assert [line['correct'] for line in table] == [True, False]
    assert [line['prediction'] for line in table] == [1, 0]
    assert [line['confidence'] for line in table] == [0.75, 0.875]
    assert [line['label_confidence'] for line in table] == [0.75, 0.125]


def test_a_missing_package_is_said_before_the_first_photograph(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[predictions\]'"):
        PredictionFile(tmp_path / 'predictions.parquet')
