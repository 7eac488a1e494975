"""Own photographs from the folder to a number: configs, commands, and a public encoder as start."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from PIL import Image

from mmc2fmae import configs
from mmc2fmae.cli import main, run_options
from mmc2fmae.cli.parsing import Parser
from mmc2fmae.engine import launch
from mmc2fmae.errors import CheckpointMismatch
from tests.checkpoints.conftest import randomise, timm_vit
from tests.conftest import ROOT
from tests.engine.test_launch import run

CLASSES = {3: 'ant bee cat', 5: 'ant bee cat dog eel', 7: 'ant bee cat dog eel fox gnu'}
SMALL = ('--size', '32', '--workers', '0', '--batch-size', '4', '--epochs', '1')


def write_photographs(root: Path, classes: str, each: int = 2) -> Path:
    """Write train/CLASS and val/CLASS, a colour for each class."""
    for number, name in enumerate(classes.split()):
        for split in ('train', 'val'):
            (root / split / name).mkdir(parents=True)
            for i in range(each):
                noise = np.random.default_rng(i).integers(0, 60, (40, 48, 3))
                noise[..., number % 3] += 40 * (number + 1) // 2
                path = root / split / name / f'{i}.jpg'
                Image.fromarray(noise.astype(np.uint8)).save(path)
    return root


def public_mae(path: Path) -> dict[str, torch.Tensor]:
    """Write the checkpoint of an MAE encoder and decoder as the official code names them."""
    weights = randomise(timm_vit(embed_dim=192, depth=12, num_heads=3, patch_size=16)).state_dict()
    torch.save(dict(model=weights | dict(mask_token=torch.zeros(1, 1, 64))), path)
    return weights


@pytest.mark.parametrize('number', CLASSES)
@pytest.mark.parametrize(('name', 'width'), [('vitt', 192), ('vitb', 768)])
def test_classes_auto_is_all_that_own_class_folders_need(name, width, number, tmp_path):
    data = write_photographs(tmp_path, CLASSES[number], 1)
    parser = Parser()
    run_options.add_common_arguments(parser)
    config = f'configs/cls/own_classes_{name}.py'
    args = parser.parse_args([config, '--data-root', str(data), '--classes', 'auto'])
    cfg = launch.load_config(args)
    topk = {3: (1,), 5: (1,), 7: (1, 5)}[number]
    loaders = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
    assert [part.dataset.classes for part in loaders] == [CLASSES[number].split()] * 3
    assert [part.dataset.data_root for part in loaders] == [str(data)] * 3
    assert [part.dataset.folder for part in loaders] == ['train', 'val', 'val']
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == number
    assert cfg.model.head.topk == (1,)
    assert cfg.val_evaluator.topk == cfg.test_evaluator.topk == topk
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.head.fc.weight.shape == (number, width)


def test_without_classes_auto_the_number_is_refused_with_the_option(tmp_path, capsys, monkeypatch):
    data = write_photographs(tmp_path / 'data', CLASSES[3])
    monkeypatch.chdir(ROOT)
    words = ['--data-root', str(data), '--work-dir', str(tmp_path / 'run'), *SMALL]
    assert main(['train', 'configs/cls/own_classes_vitt.py', *words]) == 2
    said = capsys.readouterr().err
    assert 'model.head has num_classes=2, the data set has 3 classes' in said
    assert '--classes auto' in said


def test_four_commands_lead_from_photographs_to_a_number(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    data, runs = write_photographs(tmp_path / 'data', CLASSES[3]), tmp_path / 'runs'
    folders = ('--train', f'{data}/train', '--val', f'{data}/val')
    fine = ['--classes', 'auto', '--checkpoint', f'{runs}/mae', *SMALL]
    for words in (
        ['train', 'configs/pretrain/mae_own_data.py', '--data-root', f'{data}/train',
         '--work-dir', f'{runs}/mae', *SMALL],
        ['knn', f'{runs}/mae', *folders, '--workers', '0', '--device', 'cpu', '--k', '3'],
        ['train', 'configs/cls/own_classes_vitt.py', '--data-root', f'{data}',
         '--work-dir', f'{runs}/fine', *fine],
    ):  # fmt: skip
        assert main(words) == 0, capsys.readouterr().err
    config = runs / 'fine/own_classes_vitt.py'
    before = config.read_bytes()
    validated = [json.loads(line) for line in scalars(runs / 'fine')][-1]['accuracy/top1']
    moved = (runs / 'fine').rename(runs / 'elsewhere')
    for word in (moved, moved / 'epoch_1.pth'):
        assert main(['test', str(word), '--workers', '0']) == 0, capsys.readouterr().err
        newest = max(moved.glob('*/2*.json'))
        tested = json.loads(newest.read_text())
        assert tested['accuracy/top1'] == validated and 'accuracy/top5' not in tested
    # A test does not become what the folder remembers of its training.
    assert (moved / config.name).read_bytes() == before


def test_a_resumption_that_is_refused_leaves_the_config_of_the_run(config_file, tmp_path):
    folder = tmp_path / 'run'
    run(config_file, '--work-dir', folder, '--epochs', '2')
    before = (folder / config_file.name).read_bytes()
    with pytest.raises(ValueError, match='as another run'):
        run(config_file, '--work-dir', folder, '--resume', '--epochs', '3')
    assert (folder / config_file.name).read_bytes() == before


def scalars(folder: Path) -> list[str]:
    (path,) = folder.glob('*/vis_data/scalars.json')
    return path.read_text().splitlines()


def test_public_encoder_fills_mae_and_c2fmae_and_the_rest_is_said_to_start_anew(tmp_path):
    source = public_mae(tmp_path / 'mae.pth')
    data = write_photographs(tmp_path / 'data', 'ant', 4)
    masks = tmp_path / 'data/masks'
    masks.mkdir()
    for path in (data / 'train/ant').iterdir():
        ids = np.zeros((40, 48), np.uint8)
        ids[10:30, 10:30] = 1
        Image.fromarray(ids).save(masks / f'{path.stem}.png')
    still = ('--lr', '1e-30', '--checkpoint', tmp_path / 'mae.pth', *SMALL)
    folder = 'train_dataloader.dataset.data_prefix.rgb=train/ant'
    for name, root, more, beside in (
        ('mae_own_data', data / 'train', [], 'neck start anew: 56 tensors'),
        ('c2fmae_own_data', data, ['--cfg-options', folder], 'neck, head start anew: 100 tensors'),
    ):
        work_dir = ('--work-dir', tmp_path / name)
        config = ROOT / f'configs/pretrain/{name}.py'
        model = run(config, '--data-root', root, *work_dir, *still, *more).model
        own = model.cpu().backbone.state_dict()
        assert torch.equal(own['cls_token'], source['cls_token'])
        assert torch.equal(own['patch_embed.projection.weight'], source['patch_embed.proj.weight'])
        assert torch.equal(own['layers.11.attn.qkv.weight'], source['blocks.11.attn.qkv.weight'])
        log = next((tmp_path / name).glob('*/*.log')).read_text()
        assert beside in log and 'mae.pth' in log
    assert '150/156 tensors' in log and 'fresh: label_embeds.instance.classes.weight' in log


@pytest.mark.parametrize('with_labels', [False, True])
def test_init_from_an_encoder_alone_is_answered_by_checkpoint(with_labels, config_file, tmp_path):
    weights = public_mae(tmp_path / 'mae.pth')
    if with_labels:  # a run of ours, with an encoder of photographs alone
        torch.save(dict(state_dict={f'backbone.{k}': v for k, v in weights.items()}),
                   tmp_path / 'mae.pth')  # fmt: skip
    message = 'other label maps: --checkpoint' if with_labels else 'give it to --checkpoint'
    with pytest.raises(CheckpointMismatch, match=message):
        run(config_file, '--init-from', tmp_path / 'mae.pth', '--work-dir', tmp_path / 'run')


def test_a_run_stands_for_its_config(tmp_path):
    (tmp_path / 'epoch_2.pth').touch()
    with pytest.raises(FileNotFoundError, match=r'holds no config \(\.py\) of a training'):
        configs.find(tmp_path)
    (tmp_path / 'mine.py').touch()
    assert configs.find(tmp_path) == configs.find(tmp_path / 'epoch_2.pth') == tmp_path / 'mine.py'
    (tmp_path / 'yours.py').touch()
    with pytest.raises(configs.ConfigError, match=r'holds 2 configs, mine\.py and yours\.py among'):
        configs.find(str(tmp_path))
    assert configs.require_weights(str(tmp_path), None) == str(tmp_path)
    assert configs.require_weights(str(tmp_path), 'a.pth') == 'a.pth'
    with pytest.raises(configs.ConfigError, match='a checkpoint is missing after the config'):
        configs.require_weights(str(tmp_path / 'mine.py'), None)
