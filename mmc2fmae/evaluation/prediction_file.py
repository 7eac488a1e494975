"""One line a photograph of what a classifier says of it: for paired tests, and to browse errors."""

import importlib
import io
from collections.abc import Sequence
from pathlib import Path

from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from mmc2fmae.files import write_atomically


@METRICS.register_module()
class PredictionFile(BaseMetric):
    """Write a Parquet file with one line a photograph; measures nothing itself.

    Columns are ``path``, ``label`` and ``prediction`` (class indices), ``correct``, ``confidence``
    (softmax of the prediction) and ``label_confidence`` (of the label).

    Args:
        path: File to write.
        collect_device: 'cpu' or 'gpu'; see :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ImportError: pyarrow is not installed; said before the first photograph.
    """

    def __init__(self, path: str | Path, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        try:
            self.arrow = importlib.import_module('pyarrow')
            self.parquet = importlib.import_module('pyarrow.parquet')
        except ImportError as error:
            raise ImportError(
                "predictions are written by pyarrow: pip install -e '.[predictions]'"
            ) from error
        self.path = Path(path)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Note the predictions of a batch."""
        for sample in data_samples:
            scores, label = sample['pred_score'], int(sample['gt_label'])
            prediction = int(scores.argmax())
            self.results.append(
                dict(
                    path=sample.get('img_path'),
                    label=label,
                    prediction=prediction,
                    correct=prediction == label,
                    confidence=float(scores[prediction]),
                    label_confidence=float(scores[label]),
                )
            )

    def compute_metrics(self, results: list[dict]) -> dict:
        """Write the file; called in the first process with the results of all."""
        text = io.BytesIO()
        self.parquet.write_table(self.arrow.Table.from_pylist(results), text)
        write_atomically(text.getvalue(), self.path)
        return {}
