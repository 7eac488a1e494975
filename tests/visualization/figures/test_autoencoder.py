import pytest
import torch
from mmengine.config import Config

from mmc2fmae.checkpoints.embedded import parse_config
from mmc2fmae.checkpoints.finding import find_checkpoint
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.visualization.figures.autoencoder import load_autoencoder, read_config, still_pipeline
from mmc2fmae.visualization.figures.inputs import samples_of_dataset


def test_the_newest_checkpoint_of_a_work_dir_is_found(checkpoint, tmp_path):
    torch.save({}, checkpoint.with_name('epoch_2.pth'))
    assert find_checkpoint(checkpoint.parent) == checkpoint
    with pytest.raises(FileNotFoundError, match='no whole epoch_N'):
        find_checkpoint(tmp_path)


def test_an_encoder_alone_is_refused(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    weights = {k: v for k, v in content['state_dict'].items() if k.startswith('backbone.')}
    path = tmp_path / 'encoder.pth'
    torch.save(dict(state_dict=weights), path)
    with pytest.raises(CheckpointMismatch, match=r'it holds backbone\. .* have no decoder'):
        read_config(path)
    torch.save(dict(state_dict=weights, meta=content['meta']), path)
    with pytest.raises(CheckpointMismatch) as error:
        load_autoencoder(path, 'x')
    missing = [key for key in content['state_dict'] if key not in weights]
    assert f'missing {", ".join(missing[:8])} and {len(missing) - 8} more' in str(error.value)


def test_a_model_that_reconstructs_nothing_is_refused(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    cfg = Config(parse_config(content['meta']['cfg']))
    cfg.model = dict(type='ImageClassifier', backbone=cfg.model.backbone)
    torch.save(content | dict(meta=dict(cfg=cfg.pretty_text)), checkpoint)
    with pytest.raises(CheckpointMismatch, match=r"model\.type is 'ImageClassifier'"):
        load_autoencoder(checkpoint, 'x')
    cfg.model, cfg.default_scope = cfg.model, 'mmpretrain'
    cfg.model.update(head=dict(type='LinearClsHead', num_classes=2, in_channels=48))
    cfg.dump(tmp_path / 'own.py')
    with pytest.raises(CheckpointMismatch, match='is of a ImageClassifier'):
        load_autoencoder(checkpoint, 'x', tmp_path / 'own.py')


def test_a_truncated_file_is_named(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointMismatch, match=r'epoch_3\.pth is no readable checkpoint'):
        read_config(checkpoint)


def test_samples_are_read_without_chance(checkpoint):
    autoencoder = load_autoencoder(checkpoint, 'x')
    samples = samples_of_dataset(autoencoder.cfg.train_dataloader.dataset.to_dict(), 2)
    first, absent = autoencoder.read(samples, ['rgb', 'instance', 'semantic'])
    second, _ = autoencoder.read(samples, ['rgb'])
    assert absent == [] and list(first) == ['rgb', 'instance', 'semantic']
    assert first['rgb'].shape == (2, 3, 32, 32) and first['semantic'].shape == (2, 16, 16)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_maps_that_are_not_seen_may_be_missing(checkpoint):
    autoencoder = load_autoencoder(checkpoint, 'x')
    (sample,) = samples_of_dataset(autoencoder.cfg.train_dataloader.dataset.to_dict(), 1)
    photo = sample._replace(files=dict(rgb=sample.files['rgb']))
    inputs, absent = autoencoder.read([photo], ['rgb'])
    assert absent == ['instance', 'semantic'] and (inputs['instance'] == 255).all()
    with pytest.raises(FileNotFoundError, match=r'no instance map.*--maps instance=FOLDER'):
        autoencoder.read([photo], ['rgb', 'instance'])


def test_what_needs_chance_is_taken_out_of_the_pipeline(pipeline):
    steps = still_pipeline(pipeline, ['JointRandomFlip', 'ProgressiveMasking'])
    assert [step['type'] for step in steps] == [
        'LoadMultiGranular',
        'JointCenterCrop',
        'CanonicalInstances',
        'PackMultiGranular',
    ]
    assert steps[1] == dict(type='JointCenterCrop', size=32, label_stride=2)
