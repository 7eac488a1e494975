"""Bring label maps into the form that the model predicts."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mmc2fmae.label_ids import canonical_ids, check_num_classes


@TRANSFORMS.register_module()
class SemanticFromInstance(BaseTransform):
    """Make the semantic map from the instance map: one class where an instance is, else 0.

    For own data with masks of one kind of object and no semantic maps.

    Args:
        class_id: Class of every instance.
    """

    def __init__(self, class_id: int = 1) -> None:
        self.class_id = class_id

    def transform(self, results: dict) -> dict:
        """Add ``semantic`` with the shape of ``instance``."""
        results['semantic'] = (results['instance'] > 0).astype(np.uint8) * self.class_id
        results['granularities'] = [*results['granularities'], 'semantic']
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(class_id={self.class_id})'


@TRANSFORMS.register_module()
class CanonicalInstances(BaseTransform):
    """Bring instance ids into the classes that the instance loss predicts (D10), if there are any.

    Args:
        num_instances: Number of classes, background included; larger ids become background.
        rerank: Renumber what is in the crop by descending area (lower id on a tie), for maps
            whose ids are not canonical yet.
    """

    def __init__(self, num_instances: int = 32, rerank: bool = False) -> None:
        check_num_classes('instance', num_instances)
        self.num_instances = num_instances
        self.rerank = rerank

    def transform(self, results: dict) -> dict:
        """Replace ``instance`` by ids in [0, num_instances)."""
        if 'instance' not in results:  # trained without instance maps (Table VIe)
            return results
        labels = results['instance']
        if self.rerank:
            labels = canonical_ids(labels)
        labels = np.where(labels < self.num_instances, labels, 0)
        results['instance'] = labels.astype(np.uint8, copy=False)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_instances={self.num_instances}, rerank={self.rerank})'
