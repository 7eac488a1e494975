"""Whole runs of the baselines and ablations: every mini config, and the published ones in tiny."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmc2fmae.scenes import SceneSpec, write_scenes
from mmc2fmae.visualization import draw_run
from tests.datasets.conftest import write_sample
from tests.engine.test_launch import run, weights

CONFIGS = Path(__file__).parents[2] / 'configs'
OWN = sorted((CONFIGS / 'mini/pretrain').glob('*_own_data.py'))
MINI = sorted(set((CONFIGS / 'mini/pretrain').glob('*.py')) - set(OWN))
STEP = (
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'default_hooks.logger.interval=1',
)
# The published configs, with a model of 4 x 4 patches.
TINY = """
_base_ = '{root}/pretrain/{name}_vitb_400e.py'
from mmc2fmae.engine.overrides import set_fields
set_fields(_base_, 'JointRandomResizedCrop', size=32)
dataset = _base_.train_dataloader.dataset
dataset.data_root = '{data}'
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dataset
)
del dataset
_base_.model.backbone.update(
    arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
    img_size=32,
    patch_size=8,
)
train_cfg = dict(max_epochs=3)
"""
PARTS = dict(
    mae="""
_base_.model.head.patch_size = 8
_base_.model.neck.update(num_patches=16, patch_size=8, embed_dim=24)
_base_.model.neck.update(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2)
""",
    multimae="""
_base_.model.neck.update(dims=16, num_heads=2)
_base_.model.backbone.granularities.semantic.num_classes = 9
set_fields(_base_, 'LoadMultiGranular', **{'num_classes.semantic': 9})
set_fields(_base_, 'ProgressiveMasking', patch_size=8, num_visible=8)
""",
)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Ten training scenes, one a class."""
    folder = tmp_path_factory.mktemp('baselines') / 'scenes'
    return write_scenes(folder, SceneSpec(), 10, 10, seed=0, workers=1, quiet=True)


@pytest.fixture
def data(tmp_path):
    """Twelve photographs with depth and semantic maps."""
    root = tmp_path / 'data'
    rng = np.random.default_rng(0)
    for i in range(12):
        name = f'n{i % 3}/img_{i:02}'
        write_sample(root, name, seed=i)
        path = root / f'depth/train/{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 65536, (40, 48)).astype(np.uint16)).save(path)
    return root


@pytest.fixture(params=PARTS)
def config(request, data, tmp_path):
    """A published config of MAE or MultiMAE with a tiny model."""
    text = TINY.format(root=CONFIGS, name=request.param, data=data) + PARTS[request.param]
    path = tmp_path / f'{request.param}_tiny.py'
    path.write_text(text)
    return path


def log_of(work_dir):
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize('config', MINI, ids=lambda path: path.stem)
def test_every_mini_config_trains_a_step(config, scenes, tmp_path):
    options = (*STEP, 'train_dataloader.batch_size=8', 'train_cfg.max_epochs=1')
    runner = run(
        config, '--data-root', scenes, '--work-dir', tmp_path / 'run', '--cfg-options', *options
    )
    (record,) = log_of(tmp_path / 'run')
    assert runner.iter == 1
    assert np.isfinite(record['loss']) and record['images_per_s'] > 0
    parts = [value for key, value in record.items() if key.startswith('loss_')]
    if parts:
        assert record['loss'] == pytest.approx(sum(parts), rel=1e-4)
    granularities = runner.train_dataloader.dataset.data_prefix
    logged = {key for key in record if key.startswith('visible_')}
    if config.stem[:8] != 'mae_mini':
        assert logged == {f'visible_{name}' for name in granularities}
        budget = runner.train_dataloader.dataset.pipeline.transforms[-2].num_visible
        assert sum(record[key] for key in logged) == pytest.approx(budget, abs=1e-3)
    assert (tmp_path / 'run/epoch_1.pth').is_file()


@pytest.mark.parametrize('config', OWN, ids=lambda path: path.stem)
def test_mini_configs_for_own_photographs_train_a_step_and_say_how_healthy_features_are(
    config, scenes, tmp_path
):
    folders = dict(rgb='train') | (dict(instance='instance/train') if 'c2f' in config.stem else {})
    options = (*STEP, 'train_dataloader.batch_size=8', 'train_cfg.max_epochs=1')
    options += ("train_dataloader.dataset.ann_file=''",)
    options += tuple(f'train_dataloader.dataset.data_prefix.{k}={v}' for k, v in folders.items())
    run(config, '--data-root', scenes, '--work-dir', tmp_path / 'run', '--cfg-options', *options)
    first, step, last = log_of(tmp_path / 'run')
    assert np.isfinite(step['loss'])
    assert first['probe/rankme'] > 1 and last['probe/rankme'] > 1


def weights_after_resuming(config, tmp_path):
    """Train three epochs at once, and the last one again from a checkpoint: the bits are the same.

    Returns:
        The weights; both runs are below ``tmp_path``, ``whole`` and ``cut``.
    """
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    options = ('--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=9')
    run(config, '--work-dir', whole, *options)
    cut.mkdir()
    (cut / 'epoch_2.pth').write_bytes((whole / 'epoch_2.pth').read_bytes())
    torch.rand(7)  # the process's own draws do not matter
    assert run(config, '--work-dir', cut, '--resume', *options).iter == 9
    expected, got = weights(whole), weights(cut)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    return expected


def test_resumed_baseline_ends_with_the_same_bits(config, tmp_path):
    assert weights_after_resuming(config, tmp_path)


def test_unreadable_photographs_are_named_and_counted(config, data, tmp_path):
    (data / 'train/n0/img_00.JPEG').write_bytes(b'no image')
    options = ('--work-dir', tmp_path / 'run')
    with pytest.raises(ValueError, match=r'img_00\.JPEG \(no image .*on_error=skip'):
        run(config, *options)
    with pytest.raises(RuntimeError, match='1 of 12 samples are unreadable'):
        run(config, *options, '--cfg-options', 'train_dataloader.dataset.on_error=skip')


@pytest.mark.parametrize('config', ['multimae'], indirect=True)
def test_missing_depth_maps_are_named(config, data, tmp_path):
    (data / 'depth/train/n1/img_04.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'have no depth map in .*n1/img_04\.png'):
        run(config, '--work-dir', tmp_path / 'run')


@pytest.mark.parametrize('config', ['multimae'], indirect=True)
def test_depth_is_logged(config, tmp_path):
    options = ('default_hooks.logger.interval=1', 'train_cfg.max_epochs=1')
    run(config, '--work-dir', tmp_path / 'run', '--cfg-options', *options)
    for record in log_of(tmp_path / 'run'):
        names = ('rgb', 'depth', 'semantic')
        assert sum(record[f'visible_{name}'] for name in names) == pytest.approx(8, abs=1e-4)
        assert record['loss_depth'] > 0 and record['loss_norm_rgb'] > 0


@pytest.mark.parametrize('config', ['multimae'], indirect=True)
def test_picture_of_a_multimae_run(config, tmp_path):
    run(config, '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    path = draw_run(tmp_path / 'run', tmp_path / 'run.png', num_samples=2)
    with Image.open(path) as picture:
        assert min(picture.size) > 500


@pytest.mark.parametrize('name', ['mae', 'multimae'])
def test_fine_tuning_starts_from_a_baseline(name, scenes, tmp_path):
    options = (*STEP, 'train_dataloader.batch_size=8', 'train_cfg.max_epochs=1')
    config = CONFIGS / f'mini/pretrain/{name}_mini_scenes.py'
    run(config, '--data-root', scenes, '--work-dir', tmp_path / 'a', '--cfg-options', *options)
    start = tmp_path / 'a/epoch_1.pth'
    options += (
        'train_dataloader.dataset.label_share=1.0',
        'train_dataloader.batch_size=2',
        'train_cfg.val_interval=9',
        'optim_wrapper.optimizer.lr=0.0',
    )
    tuned = run(
        *(CONFIGS / 'mini/cls.py', '--data-root', scenes, '--work-dir', tmp_path / 'b'),
        *('--checkpoint', start, '--cfg-options', *options),
    )
    before = torch.load(start)['state_dict']['backbone.layers.5.attn.qkv.weight']
    assert torch.equal(tuned.model.backbone.layers[5].attn.qkv.weight.cpu(), before.cpu())
