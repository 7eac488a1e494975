"""One model for boxes, masks and semantic maps, as its config trains it."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mmc2fmae.errors import DatasetError
from tests.test_dense_configs import CONFIGS, run, scenes  # noqa: F401  (fixture)

SMALL = [
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'train_dataloader.batch_size=1',
    'train_dataloader.dataset.indices=2',
]


def test_it_trains_on_both_and_is_evaluated_by_both(scenes, tmp_path):  # noqa: F811
    runner = run(tmp_path, 'mini/det_and_seg.py', scenes, SMALL)
    for name in ('loss_seg', 'loss_mask', 'loss_bbox'):
        assert runner.message_hub.get_scalar(f'train/{name}').current() > 0
    assert 0 <= runner.message_hub.get_scalar('val/coco/segm_mAP').current() <= 1
    assert 0 <= runner.message_hub.get_scalar('val/semantic/mIoU').current() <= 100
    (batch,) = [next(iter(runner.val_dataloader))]
    runner.model.eval()
    with torch.no_grad():
        found = runner.model.test_step(batch)
    for sample in found:
        assert sample.pred_sem_seg.sem_seg.shape == sample.gt_sem_seg.sem_seg.shape == (1, 64, 64)
        assert sample.pred_sem_seg.sem_seg.max() < 16
        assert sample.pred_instances.masks.shape[1:] == (64, 64)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda root: next((root / 'semantic/val').rglob('*.png')).unlink(), 'have no mask'),
        (
            lambda root: Image.fromarray(np.full((64, 64), 17, np.uint8)).save(
                next((root / 'semantic/val').rglob('*.png'))
            ),
            'expected classes 0 to 15',
        ),
    ],
    ids=['missing', 'unknown id'],
)
def test_wrong_maps_stop_it_before_the_first_step(scenes, tmp_path, change, said):  # noqa: F811
    root = shutil.copytree(scenes, tmp_path / 'scenes')
    change(root)
    with pytest.raises(DatasetError, match=said):
        run(tmp_path / 'run', 'mini/det_and_seg.py', root, SMALL)


def test_a_head_for_another_number_of_classes_is_refused(scenes, tmp_path):  # noqa: F811
    with pytest.raises(DatasetError, match=r'model\.semantic_head\.num_stuff_classes=16'):
        run(
            tmp_path, 'mini/det_and_seg.py', scenes,
            [*SMALL, 'model.semantic_head.num_stuff_classes=10'],
        )  # fmt: skip


def test_the_semantic_metric_counts_the_classes_of_the_maps():
    cfg = Config.fromfile(CONFIGS / 'mini/det_and_seg.py')
    from mmengine.registry import METRICS

    with DefaultScope.overwrite_default_scope('mmdet'):
        metric = METRICS.build(cfg.val_evaluator[1])
    metric.dataset_meta = dict(classes=('thing',), semantic_classes=('a', 'b', 'c'))
    truth = torch.tensor([[[0, 0, 1, 255]]])
    predicted = torch.tensor([[[0, 1, 1, 2]]])
    metric.process({}, [dict(pred_sem_seg=dict(sem_seg=predicted), gt_sem_seg=dict(sem_seg=truth))])
    # a: 1 of 2, b: 1 of 2; c is neither there nor, where anything is labelled, predicted.
    found = metric.evaluate(1)
    assert found['semantic/mIoU'] == 50.0
    assert found['semantic/mAcc'] == 75.0  # 1 of 2 and 1 of 1
    assert found['semantic/aAcc'] == 66.67  # 2 of 3
