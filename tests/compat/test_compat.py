"""Each gap of the stack is closed: what fails without `mmc2fmae.compat` works with it."""

import sys
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from mmc2fmae import compat
from tests.compat.conftest import COMPAT_ALONE

ROOT = Path(__file__).parents[2]


def test_closing_the_gaps_again_changes_nothing():
    before = compat.gaps(), sys.modules.get('mmcv._ext')
    compat.close_gaps()
    assert (compat.gaps(), sys.modules.get('mmcv._ext')) == before
    assert {gap.state for gap in before[0]} <= {'ok', 'filled in'}


def test_compat_alone_imports_neither_mmdet_nor_mmseg_nor_the_models(python):
    slow = "print({'mmdet', 'mmseg', 'mmpretrain.models', 'mmcv.ops'} & set(sys.modules))"
    assert python('-c', f'{COMPAT_ALONE} {slow}').stdout == 'set()\n'


def test_required_packages_are_the_dependencies_of_pyproject():
    tomllib = pytest.importorskip('tomllib' if sys.version_info >= (3, 11) else 'tomli')
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    declared = {*project['dependencies'], *project['optional-dependencies']['lite']}
    assert set(compat.REQUIREMENTS.values()) == {d for d in declared if ';' not in d}


# --- mmdet and mmseg, one training step each ---


def train_step(model: torch.nn.Module, data: dict) -> dict[str, torch.Tensor]:
    model.train()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = mmengine.optim.OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    losses = model.train_step(data, optimizer)
    moved = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert sum(moved) > len(moved) / 2
    return losses


def image() -> torch.Tensor:
    return torch.randint(256, (3, 64, 64), dtype=torch.uint8)


META = {'img_shape': (64, 64), 'ori_shape': (64, 64), 'scale_factor': (1.0, 1.0), 'img_id': 1}


@pytest.fixture
def mask_rcnn() -> torch.nn.Module:
    import mmdet.models
    from mmengine.config import Config

    assert mmdet.models
    folder = Path(mmdet.__file__).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(folder / 'mask-rcnn_r50_fpn.py').model
    model.backbone.update(depth=18, init_cfg=None, frozen_stages=-1)
    model.neck.update(in_channels=[64, 128, 256, 512])
    model.roi_head.bbox_head.update(fc_out_channels=32, num_classes=2)
    model.roi_head.mask_head.update(num_convs=1, num_classes=2)
    model.test_cfg.rcnn.score_thr = 0.0
    torch.manual_seed(0)
    return mmdet.registry.MODELS.build({**model, '_scope_': 'mmdet'})


def test_mask_rcnn_trains_and_predicts(mask_rcnn):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    square = np.zeros((1, 64, 64), np.uint8)
    square[0, 8:40, 8:40] = 1
    sample = DetDataSample(metainfo=META)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 40, 40]]),
        labels=torch.tensor([0]),
        masks=BitmapMasks(square, 64, 64),
    )
    data = {'inputs': [image()], 'data_samples': [sample]}
    losses = train_step(mask_rcnn, data)
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= set(losses)
    found = mask_rcnn.eval().test_step(data)[0].pred_instances
    assert 0 < len(found) <= 100
    assert found.masks.shape == (len(found), 64, 64)


@pytest.fixture
def upernet() -> torch.nn.Module:
    import mmseg.models
    from mmengine.config import Config

    assert mmseg.models
    folder = Path(mmseg.__file__).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(folder / 'upernet_r50.py').model
    plain = {'type': 'BN'}
    model.update(pretrained=None)
    model.data_preprocessor.size = (64, 64)
    model.backbone.update(type='ResNet', depth=18, norm_cfg=plain)
    model.decode_head.update(
        in_channels=[64, 128, 256, 512], channels=32, num_classes=3, norm_cfg=plain
    )
    model.auxiliary_head.update(in_channels=256, channels=32, num_classes=3, norm_cfg=plain)
    torch.manual_seed(0)
    return mmseg.registry.MODELS.build({**model, '_scope_': 'mmseg'})


def test_upernet_trains_and_predicts(upernet):
    from mmseg.structures import SegDataSample

    samples = [SegDataSample(metainfo=META) for _ in range(2)]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(3, (1, 64, 64)))
    data = {'inputs': [image(), image()], 'data_samples': samples}
    losses = train_step(upernet, data)
    assert {'decode.loss_ce', 'aux.loss_ce'} <= set(losses)
    labels = upernet.eval().test_step(data)[0].pred_sem_seg.data
    assert labels.shape == (1, 64, 64)
    assert set(labels.unique().tolist()) <= {0, 1, 2}


# --- their metrics, on predictions that are right ---


def test_coco_metric_of_perfect_boxes_and_masks_is_1(tmp_path):
    from mmdet.evaluation import CocoMetric

    annotation = {
        'id': 1, 'image_id': 1, 'category_id': 7, 'iscrowd': 0, 'area': 1024,
        'bbox': [8, 8, 32, 32], 'segmentation': [[8, 8, 40, 8, 40, 40, 8, 40]],
    }  # fmt: skip
    truth = {
        'images': [{'id': 1, 'width': 64, 'height': 64, 'file_name': 'a.jpg'}],
        'categories': [{'id': 7, 'name': 'square'}],
        'annotations': [annotation],
    }
    mmengine.dump(truth, tmp_path / 'truth.json')
    metric = CocoMetric(str(tmp_path / 'truth.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = {'classes': ['square']}
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, 8:40, 8:40] = True
    predicted = {
        'bboxes': torch.tensor([[8.0, 8, 40, 40]]), 'scores': torch.tensor([0.9]),
        'labels': torch.tensor([0]), 'masks': mask,
    }  # fmt: skip
    metric.process({}, [{**META, 'pred_instances': predicted}])
    scores = metric.evaluate(1)
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == pytest.approx(1)


def test_iou_metric_of_half_right_labels():
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric()
    metric.dataset_meta = {'classes': ['left', 'right']}
    truth, predicted = torch.zeros(1, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4)
    truth[..., 2:] = 1
    predicted[..., 3:] = 1
    metric.process(
        {}, [{'gt_sem_seg': {'data': truth}, 'pred_sem_seg': {'data': predicted.long()}}]
    )
    # left: 8 of 12 pixels; right: 4 of 8
    assert metric.evaluate(1)['mIoU'] == pytest.approx(100 * (8 / 12 + 4 / 8) / 2, abs=0.01)
