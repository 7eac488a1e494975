"""One fine-tuned model for boxes, masks and semantic maps.

Imported by the configs that use it (``custom_imports``): it needs all models of MMDetection.
"""

from mmdet.models.detectors import TwoStagePanopticSegmentor
from mmdet.registry import MODELS
from mmengine.structures import PixelData
from torch import Tensor


@MODELS.register_module()
class DetectorWithSemantics(TwoStagePanopticSegmentor):
    """Mask R-CNN and a semantic head on the same feature maps, trained by the sum of their losses.

    mmdet's panoptic segmenter without the fusion of its two answers: both are kept.

    Args:
        **kwargs: Passed to mmdet's TwoStagePanopticSegmentor. ``semantic_head`` is a
            PanopticFPNHead with ``num_things_classes=0``: all classes of the map are told apart,
            and the channel that would merge the things is not read.
    """

    def predict(self, batch_inputs: Tensor, batch_data_samples: list, rescale: bool = True) -> list:
        """Predict ``pred_instances`` and ``pred_sem_seg`` ((1, H, W) class ids) of each image.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Their samples, which the predictions are added to.
            rescale: Whether boxes, masks and maps have the size of the photographs.
        """
        features = self.extract_feat(batch_inputs)
        proposals = self.rpn_head.predict(features, batch_data_samples, rescale=False)
        found = self.roi_head.predict(features, proposals, batch_data_samples, rescale=rescale)
        metas = [sample.metainfo for sample in batch_data_samples]
        scores = self.semantic_head.predict(features, metas, rescale)
        number = self.semantic_head.num_stuff_classes
        for sample, instances, score in zip(batch_data_samples, found, scores, strict=True):
            sample.pred_instances = instances
            sample.pred_sem_seg = PixelData(sem_seg=score[:number].argmax(dim=0, keepdim=True))
        return batch_data_samples
