"""Whole fine-tuning runs: each classification config at reduced size, by options alone."""

from pathlib import Path

import pytest
import torch

from mmc2fmae.errors import CheckpointMismatch, DatasetError
from mmc2fmae.models import PlainViT
from tests.datasets.conftest import write_sample
from tests.engine.test_launch import run

CONFIGS = Path(__file__).parents[2] / 'configs/cls'
SMALL = (
    'model.backbone.arch=deit-tiny',
    'model.backbone.img_size=32',
    'model.backbone.patch_size=16',
    'model.head.in_channels=192',
    'model.head.num_classes=3',
    'model.head.topk=(1,)',
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.classes=None',
    'val_dataloader.dataset.classes=None',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'val_evaluator.topk=(1,)',
    'train_cfg.max_epochs=2',
    'default_hooks.logger.interval=1',
)
RGB = (
    'model.data_preprocessor.num_classes=3',
    'RandomResizedCrop.scale=32',
    'ResizeEdge.scale=32',
    'CenterCrop.crop_size=32',
    'val_dataloader.dataset.expected=None',
)


@pytest.fixture
def data(tmp_path):
    """Twelve photographs of three classes with maps, for training and validation."""
    for i in range(12):
        write_sample(tmp_path, f'n{i % 3}/img_{i:02}', seed=i)
    for folder in ('', 'instance', 'semantic'):
        (tmp_path / folder / 'val').symlink_to(tmp_path / folder / 'train')
    return tmp_path


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('vitb_ft_100e', RGB),
        ('vitb_ft_100e_after_400e', RGB),
        ('vitb_ft_100e_ema', RGB),
        ('own_classes_vitb', RGB),
        ('vitb_ft_1percent', (*RGB, 'train_dataloader.dataset.label_share=0.5')),
        ('vitb_ft_10percent', (*RGB, 'train_dataloader.dataset.label_share=0.5')),
        ('vitb_linear_90e', (*RGB, 'model.neck.input_features=192')),
        ('semanticmim_vitb_ft_100e', RGB),
        ('semanticmim_vitb_linear_90e', (*RGB, 'model.neck.input_features=192')),
        (
            'vitb_ft_100e_multi_granular',
            (
                'train_dataloader.dataset.classes=[n0,n1,n2]',
                'val_dataloader.dataset.classes=[n0,n1,n2]',
                'JointRandomResizedCrop.size=32',
                'JointCenterCrop.size=32',
            ),
        ),
    ],
)
def test_config_trains_and_validates_by_options_alone(name, options, data, tmp_path):
    options = (*SMALL, *options, 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1')
    work_dir = tmp_path / 'run'
    run(
        CONFIGS / f'{name}.py',
        '--data-root',
        data,
        '--work-dir',
        work_dir,
        '--cfg-options',
        *options,
    )
    text = next(work_dir.glob('*/*.log')).read_text()
    assert 'accuracy/top1' in text and (work_dir / 'epoch_1.pth').is_file()


def test_resumed_fine_tuning_ends_with_the_same_bits(data, tmp_path):
    options = (
        '--data-root',
        data,
        '--cfg-options',
        *SMALL,
        *RGB,
        'model.backbone.drop_path_rate=0.5',
    )
    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    keep = 'default_hooks.checkpoint.max_keep_ckpts=2'
    run(CONFIGS / 'vitb_ft_100e.py', '--work-dir', whole, *options, keep)
    resumed.mkdir()
    (resumed / 'epoch_1.pth').write_bytes((whole / 'epoch_1.pth').read_bytes())
    more = ('train_dataloader.num_workers=2', keep)
    run(CONFIGS / 'vitb_ft_100e.py', '--work-dir', resumed, '--resume', *options, *more)
    first, second = (
        torch.load(folder / 'epoch_2.pth', weights_only=True)['state_dict']
        for folder in (whole, resumed)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_checkpoint_option_fills_the_backbone(data, tmp_path):
    vit = PlainViT(arch='deit-tiny', img_size=32, patch_size=16)
    torch.save(dict(state_dict=vit.state_dict()), tmp_path / 'vit.pth')
    options = ('--data-root', data, '--checkpoint', tmp_path / 'vit.pth', '--cfg-options', *SMALL)
    still = 'optim_wrapper.optimizer.lr=0.0'
    work_dir = ('--work-dir', tmp_path / 'run')
    runner = run(CONFIGS / 'vitb_ft_100e.py', *work_dir, *options, *RGB, still)
    weights = runner.model.backbone.state_dict()
    for key, value in vit.state_dict().items():
        assert key.startswith('ln1.') or torch.equal(weights[key].cpu(), value), key


def test_checkpoint_of_another_patch_size_is_refused_before_training(data, tmp_path):
    vit = PlainViT(arch='deit-tiny', img_size=32, patch_size=8)
    torch.save(dict(state_dict=vit.state_dict()), tmp_path / 'vit.pth')
    options = ('--data-root', data, '--checkpoint', tmp_path / 'vit.pth', '--cfg-options', *SMALL)
    with pytest.raises(CheckpointMismatch, match=r'patch_size 8 in vit\.pth, 16 in the model'):
        run(CONFIGS / 'vitb_ft_100e.py', '--work-dir', tmp_path / 'run', *options, *RGB)


def test_head_with_another_number_of_classes_than_the_data_is_refused(data, tmp_path):
    options = ('--data-root', data, '--cfg-options', *SMALL, *RGB, 'model.head.num_classes=7')
    with pytest.raises(DatasetError, match=r'model\.head has num_classes=7, the data set has 3'):
        run(CONFIGS / 'vitb_ft_100e.py', '--work-dir', tmp_path / 'run', *options)


def test_head_trained_for_another_number_of_classes_is_refused(data, tmp_path):
    options = ('--data-root', data, '--work-dir', tmp_path / 'run', '--cfg-options', *SMALL, *RGB)
    model = run(CONFIGS / 'vitb_ft_100e.py', *options, 'train_cfg.max_epochs=1').model
    weights = model.state_dict()
    weights['head.fc.weight'] = torch.zeros(1000, 192)
    torch.save(dict(state_dict=weights), tmp_path / 'other.pth')
    with pytest.raises(CheckpointMismatch, match=r'head\.fc\.weight was trained for 1000 outputs'):
        run(
            CONFIGS / 'vitb_ft_100e.py', '--init-from', tmp_path / 'other.pth',
            '--overwrite', *options
        )  # fmt: skip


def test_missing_checkpoint_is_named(data, tmp_path):
    options = ('--data-root', data, '--checkpoint', 'nowhere.pth', '--cfg-options', *SMALL)
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth does not exist'):
        run(CONFIGS / 'vitb_ft_100e.py', '--work-dir', tmp_path / 'run', *options, *RGB)
