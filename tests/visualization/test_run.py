import json

import pytest
import torch
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image

from mmc2fmae.visualization import draw_run
from mmc2fmae.visualization.run import draw_curves
from tests.datasets.conftest import data_root  # noqa: F401  (fixture)

MAE = dict(
    type='MAE',
    data_preprocessor=dict(type='RgbPreprocessor'),
    backbone=dict(
        type='MAEViT',
        arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
        img_size=32,
        patch_size=8,
    ),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=16,
        patch_size=8,
        embed_dim=24,
        decoder_embed_dim=16,
        decoder_depth=1,
        decoder_num_heads=2,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=8,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
)
PIPELINE = [
    dict(type='LoadMultiGranular'),
    dict(type='JointRandomResizedCrop', size=32),
    dict(type='PackMultiGranular'),
]
TRAINED = [dict(iter=i, step=i, epoch=1 + i // 3, loss=1 / i) for i in (1, 2, 3, 4)]


@pytest.fixture
def save(tmp_path):
    def save(model: dict, weights: dict, dataset: dict, log: list[dict]):
        """Write the folder of a run: a checkpoint with its config, and a log."""
        folder = tmp_path / 'run'
        (folder / '20260101/vis_data').mkdir(parents=True)
        cfg = Config(dict(model=model, train_dataloader=dict(dataset=dataset)))
        meta = dict(cfg=cfg.pretty_text)
        torch.save(dict(meta=meta, state_dict=weights), folder / 'epoch_1.pth')
        lines = ''.join(json.dumps(record) + '\n' for record in log)
        (folder / '20260101/vis_data/scalars.json').write_text(lines)
        return folder

    return save


def test_a_run_of_mae_has_reconstructions_and_losses(save, data_root, tmp_path):  # noqa: F811
    dataset = dict(
        type='MultiGranularDataset',
        data_root=str(data_root),
        data_prefix=dict(rgb='train'),
        pipeline=PIPELINE,
    )
    run = save(MAE, MODELS.build(MAE).state_dict(), dataset, TRAINED)
    tall = draw_run(run, tmp_path / 'a.png', num_samples=6)
    low = draw_run(run, tmp_path / 'b.png', num_samples=3)  # three samples a row
    heights = [Image.open(path).height for path in (tall, low)]
    assert heights[0] - heights[1] == pytest.approx(1.45 * 130, abs=1)


def test_a_run_that_reconstructs_nothing_has_its_curves(save, tmp_path):
    run = save(dict(type='SomethingElse'), {}, {}, TRAINED)
    assert draw_run(run, tmp_path / 'a.png').stat().st_size > 10_000


def test_without_reconstructions_and_log_there_is_nothing_to_draw(save, tmp_path):
    run = save(dict(type='SomethingElse'), {}, {}, [])
    with pytest.raises(FileNotFoundError, match='its SomethingElse reconstructs nothing'):
        draw_run(run, tmp_path / 'a.png')
    assert not (tmp_path / 'a.png').exists()


@pytest.fixture
def drawn():
    def drawn(log: list[dict]) -> dict[str, dict[str, list]]:
        """Draw curves; return the points of every line by title and label."""
        figure = plt.figure()
        draw_curves(figure.subfigures(1, 1), [r for r in log if 'loss' in r], log)
        return {
            axes.get_title(): {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
            for axes in figure.axes
        }

    yield drawn
    plt.close('all')


def test_validations_stand_beside_the_losses_of_a_fine_tuning(drawn):
    log = [
        {'iter': 10, 'step': 10, 'epoch': 1, 'loss': 3.0, 'loss_cls': 2.0},
        {'coco/bbox_mAP': 0.1, 'coco/bbox_mAP_l': -1.0, 'coco/segm_mAP': -1.0, 'step': 1},
        {'iter': 20, 'step': 20, 'epoch': 2, 'loss': 2.0, 'loss_cls': 1.0},
        {'probe/rankme': 12.0, 'step': 20},
        {'coco/bbox_mAP': 0.2, 'coco/bbox_mAP_l': -1.0, 'time': 0.3, 'step': 2},
    ]
    assert drawn(log) == {
        'Losses': {'cls': [[1, 2], [2, 1]]},
        'Validation': {'coco/bbox_mAP': [[1, 0.1], [2, 0.2]]},
    }


def test_a_training_over_iterations_is_drawn_over_them(drawn):
    log = [
        {'iter': 50, 'step': 50, 'loss': 2.0, 'decode.loss_ce': 1.5, 'decode.acc_seg': 40.0},
        {'iter': 100, 'step': 100, 'loss': 1.0, 'decode.loss_ce': 0.5, 'decode.acc_seg': 60.0},
    ]
    assert drawn(log) == {'Losses': {'decode.ce': [[50, 1.5], [100, 0.5]]}}
