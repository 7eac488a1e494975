"""Random batches have the shapes and counts of the configs."""

import pytest
import torch

from mmc2fmae.benchmark.batches import fine_tuning_batch, pretraining_batch
from mmc2fmae.benchmark.steps import read_config


def test_a_pretraining_batch_has_the_visible_tokens_of_its_config():
    batch = pretraining_batch(read_config('mmc2fmae::pretrain/c2fmae_vitb_1600e.py'), 3)
    assert {n: (x.shape, x.dtype) for n, x in batch['inputs'].items()} == {
        'rgb': ((3, 3, 224, 224), torch.uint8),
        'instance': ((3, 56, 56), torch.uint8),
        'semantic': ((3, 56, 56), torch.uint8),
    }
    assert batch['inputs']['semantic'].max() == 132
    visible = sum((~mask).sum(dim=1) for mask in batch['masks'].values())
    assert visible.tolist() == [98, 98, 98]


def test_where_the_model_draws_the_masks_the_batch_has_none():
    batch = pretraining_batch(read_config('mmc2fmae::pretrain/mae_vitb_1600e.py'), 2)
    assert set(batch) == {'inputs'}
    assert set(batch['inputs']) == {'rgb'}


def test_samples_come_again_after_64():
    rgb = pretraining_batch(read_config('mmc2fmae::mini/c2fmae_mini_scenes.py'), 66)['inputs'][
        'rgb'
    ]
    assert torch.equal(rgb[64:], rgb[:2])
    assert not torch.equal(rgb[0], rgb[1])


@pytest.mark.parametrize('task', ['cls', 'det', 'seg'])
def test_a_fine_tuning_batch_has_a_sample_an_image(task):
    batch = fine_tuning_batch(read_config(f'mmc2fmae::mini/{task}.py'), 2, (64, 64))
    assert len(batch['data_samples']) == len(batch['inputs']) == 2
    assert all(image.shape == (3, 64, 64) for image in batch['inputs'])
