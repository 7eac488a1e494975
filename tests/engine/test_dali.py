"""DALI reads what the data workers would have read, and says at once where it cannot."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.datasets.transforms import RandomColour
from mmc2fmae.engine.dali import DaliDecoder, decoder_of
from mmc2fmae.errors import DatasetError, RunStopped, SampleError
from tests.datasets.conftest import write_sample
from tests.engine.test_launch import run
from tests.test_fast_reading import as_jpeg, photograph, turned_by

FILES = [f'n0000000{i % 2}/img_{i}' for i in (0, 2, 4, 1, 3, 5)]  # as they are listed
STEPS = [
    dict(type='LoadMultiGranular', num_classes=dict(semantic=9)),
    dict(type='JointRandomResizedCrop', size=32, label_stride=2),
    dict(type='JointRandomFlip'),
    dict(type='ProgressiveMasking', patch_size=8, num_visible=8),
    dict(type='PackMultiGranular'),
]


class Refusing:
    """A pipeline that fails at every batch, as DALI does at damaged ones."""

    def __init__(self, at):
        self.at = at

    def feed_input(self, name, values):
        pass

    def schedule_run(self):
        if self.at == 'start':
            raise RuntimeError('Critical error in pipeline:\nencountered:\n\nnvImageCodec failure')

    def outputs(self, stream):
        raise RuntimeError('Critical error in pipeline:\nencountered:\n\nnvImageCodec failure')


@pytest.fixture
def smooth(tmp_path):
    """Six photographs as cameras give them: ordinary, grey, turned, progressive, PNG inside."""
    for i, name in enumerate(FILES):
        write_sample(tmp_path, name, seed=i)
    kinds = [
        dict(), dict(), dict(exif=turned_by(3)), dict(progressive=True), dict(subsampling=2),
    ]  # fmt: skip
    for name, options in zip(FILES, kinds, strict=False):
        (tmp_path / f'train/{name}.JPEG').write_bytes(as_jpeg(photograph((48, 40)), **options))
    photograph((48, 40)).convert('L').save(tmp_path / f'train/{FILES[1]}.JPEG')
    photograph((48, 40)).save(tmp_path / f'train/{FILES[5]}.JPEG', 'PNG')
    return tmp_path


def loader_of(root, steps=STEPS, dali=True, workers=0):
    steps = [dict(step) for step in steps]
    steps[0]['dali'] = dali
    dataset = MultiGranularDataset(str(root), pipeline=steps)
    return DataLoader(dataset, 4, num_workers=workers, collate_fn=default_collate)


def refusing(monkeypatch, at='end'):
    monkeypatch.setattr(DaliDecoder, '_build', lambda self: Refusing(at))
    monkeypatch.setattr(DaliDecoder, '_try', lambda self: None)


def batches_of(loader):
    return list(decoder_of(loader).batches(loader))


@pytest.mark.parametrize('at', ['start', 'end'])
def test_what_dali_refuses_is_read_without_it(smooth, monkeypatch, at):
    refusing(monkeypatch, at)
    got = batches_of(loader_of(smooth))
    expected = list(loader_of(smooth, dali=False))
    assert [len(batch['path']) for batch in got] == [4, 2]
    for a, b in zip(got, expected, strict=True):
        assert a.keys() == b.keys()
        assert a['path'] == b['path']
        assert all(torch.equal(a['inputs'][name].cpu(), b['inputs'][name]) for name in b['inputs'])
        assert all(torch.equal(a['masks'][name], b['masks'][name]) for name in b['masks'])


def test_a_photograph_that_no_decoder_reads_is_named(smooth, monkeypatch):
    refusing(monkeypatch)
    loader = loader_of(smooth)
    decoder = decoder_of(loader)
    decoder.batches(loader)
    batch = next(iter(loader))
    photographs = batch['inputs']['rgb']
    photographs[1] = replace(photographs[1], content=photographs[1].content[:300])
    with pytest.raises(SampleError, match=rf'{FILES[1]}\.JPEG: cannot be read'):
        list(decoder.finish([batch]))


def test_without_dali_the_package_is_named_at_the_start(smooth, monkeypatch):
    monkeypatch.setitem(sys.modules, 'nvidia.dali', None)
    with pytest.raises(ImportError, match=r'dali=True needs NVIDIA DALI .*pip install nvidia-dali'):
        decoder_of(loader_of(smooth))
    assert decoder_of(loader_of(smooth, dali=False)) is None


def test_a_dali_that_does_not_fit_the_machine_is_one_line(smooth, monkeypatch):
    monkeypatch.setattr(DaliDecoder, '_build', lambda self: Refusing('start'))
    with pytest.raises(RunStopped, match=r'does not decode on this machine \(nvImageCodec failure'):
        decoder_of(loader_of(smooth))


def test_steps_that_read_pixels_are_refused_by_name(smooth):
    loader = loader_of(smooth)
    loader.dataset.pipeline.transforms.insert(1, RandomColour())
    with pytest.raises(ValueError, match='does not work with RandomColour in train_dataloader'):
        decoder_of(loader)
    with pytest.raises(ValueError, match=r'with crops of the sides \[\] .* JointRandomResizedCrop'):
        decoder_of(loader_of(smooth, [STEPS[0], STEPS[-1]]))
    with pytest.raises(ValueError, match='does not work with JointCenterCrop'):
        decoder_of(loader_of(smooth, [STEPS[0], dict(type='JointCenterCrop', size=32)]))


def test_photographs_of_which_none_is_an_ordinary_jpeg_are_refused(smooth, monkeypatch):
    refusing(monkeypatch)
    for name in FILES:
        photograph((48, 40)).save(smooth / f'train/{name}.JPEG', 'PNG')
    (smooth / f'train/{FILES[1]}.JPEG').write_bytes(b'damaged')
    with pytest.raises(DatasetError, match=r'none of 6 photographs .* first .*img_0\.JPEG'):
        decoder_of(loader_of(smooth))


def test_runs_that_count_iterations_are_refused(config_file, tmp_path, monkeypatch):
    refusing(monkeypatch)
    config = config_file.read_text()
    loop = "train_cfg = dict(type='IterBasedTrainLoop', max_iters=3)"
    config_file.write_text(config.replace(config[config.index('train_cfg') :].split('\n')[0], loop))
    with pytest.raises(ValueError, match='runs that count epochs, this one has a IterBased'):
        run(config_file, '--work-dir', tmp_path / 'run', 'LoadMultiGranular.dali=True')


def close(got, expected):
    difference = np.abs(got.cpu().numpy().astype(int) - expected.numpy().astype(int))
    return (difference <= 1).mean() >= 0.999


class TestWithDali:
    """What only an installed DALI shows, on its CPU backend where there is no GPU."""

    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip('nvidia.dali', reason='DALI is not installed')

    def test_values_are_those_of_the_workers_within_a_grey_level(self, smooth):
        for workers in (0, 1):
            loader = loader_of(smooth, workers=workers)
            expected = list(loader_of(smooth, dali=False))
            for a, b in zip(batches_of(loader), expected, strict=True):
                assert a['inputs']['rgb'].is_contiguous()
                assert close(a['inputs']['rgb'], b['inputs']['rgb'])
                assert torch.equal(a['inputs']['semantic'], b['inputs']['semantic'])

    def test_it_goes_on_after_a_batch_that_it_refused(self, smooth):
        loader = loader_of(smooth)
        expected = list(loader_of(smooth, dali=False))
        decoder = decoder_of(loader)
        next(decoder.batches(loader))
        decoder._pipe = Refusing('start')  # until it is built anew
        refused, *rest = decoder.finish(list(loader))
        assert torch.equal(refused['inputs']['rgb'].cpu(), expected[0]['inputs']['rgb'])
        for a, b in zip(rest, expected[1:], strict=True):
            assert close(a['inputs']['rgb'], b['inputs']['rgb'])

    def test_a_run_trains_as_without_it(self, config_file, tmp_path):
        for path in (tmp_path / 'data/train').rglob('*.JPEG'):
            photograph((48, 40)).save(path)
        losses = []
        for dali in ('False', 'True'):
            options = ('--work-dir', tmp_path / dali, '--epochs', 1)
            runner = run(config_file, *options, f'LoadMultiGranular.dali={dali}')
            losses.append(runner.message_hub.get_scalar('train/loss').mean())
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
