"""mIoU of the semantic maps of a detector's data set.

Imported by the configs that use it (``custom_imports``).
"""

from mmdet.evaluation import SemSegMetric
from mmdet.registry import METRICS


@METRICS.register_module()
class SemanticMapMetric(SemSegMetric):
    """mmdet's SemSegMetric over ``semantic_classes``, beside the classes of the boxes."""

    default_prefix = 'semantic'

    @property
    def dataset_meta(self) -> dict | None:
        """Return what the data set says of itself, with the classes of its semantic maps."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        self._dataset_meta = meta | dict(classes=meta['semantic_classes'])
