"""mIoU of the semantic maps of a detector's data set.

Imported by the configs that use it (``custom_imports``).
"""

import numpy as np
from mmdet.evaluation import SemSegMetric
from mmdet.registry import METRICS


@METRICS.register_module()
class SemanticMapMetric(SemSegMetric):
    """mmdet's SemSegMetric over ``semantic_classes``, beside the classes of the boxes.

    Its ``aAcc`` is the share of all pixels that is right, as in mmseg; mmdet's is mAcc once more.
    """

    default_prefix = 'semantic'

    @property
    def dataset_meta(self) -> dict | None:
        """Return what the data set says of itself, with the classes of its semantic maps."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        self._dataset_meta = meta | dict(classes=meta['semantic_classes'])

    def get_return_metrics(self, results: list) -> dict[str, np.ndarray]:
        """Return the metrics by class, and aAcc."""
        right, labelled = (
            sum(result[key].sum() for result in results) for key in ('area_intersect', 'area_label')
        )
        return super().get_return_metrics(results) | dict(aAcc=np.asarray(right / labelled))
