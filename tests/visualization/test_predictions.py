"""Small photographs are drawn larger, with what was found in them."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmc2fmae.visualization.predictions import enlarge

IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize('as_array', [False, True])
def test_pixels_boxes_and_masks_of_a_detection_grow_alike(as_array):
    masks = torch.tensor([[[True, False, False], [False, False, True]]])
    found = InstanceData(bboxes=torch.tensor([[0.5, 0.0, 3.0, 2.0]]), labels=torch.tensor([4]))
    found.masks = masks.numpy() if as_array else masks
    sample = DetDataSample(pred_instances=found)
    image, drawn = enlarge(IMAGE, sample, least=5)  # 3 pixels: twice
    assert image.shape == (4, 6, 3)
    assert np.array_equal(image[::2, ::2], IMAGE) and np.array_equal(image[1::2, 1::2], IMAGE)
    assert drawn.pred_instances.bboxes.tolist() == [[1.0, 0.0, 6.0, 4.0]]
    assert drawn.pred_instances.masks[0].int().tolist() == [
        [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1],
    ]  # fmt: skip
    assert drawn.pred_instances.labels.tolist() == [4]
    assert sample.pred_instances.bboxes.tolist() == [[0.5, 0.0, 3.0, 2.0]]  # what was found stays


def test_segmentations_grow_and_large_photographs_stay():
    ids = torch.tensor([[[0, 1, 2], [3, 4, 5]]])
    sample = SegDataSample(pred_sem_seg=PixelData(data=ids))
    image, drawn = enlarge(IMAGE, sample, least=9)
    assert image.shape == (6, 9, 3) and drawn.pred_sem_seg.data.shape == (1, 6, 9)
    assert torch.equal(drawn.pred_sem_seg.data[:, 1::3, 2::3], ids)
    same, kept = enlarge(IMAGE, sample, least=3)
    assert same is IMAGE and kept is sample
