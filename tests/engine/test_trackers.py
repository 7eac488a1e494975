"""TensorBoard, W&B and MLflow by one option each, beside the local log; nothing leaves offline."""

import json
import os
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS

from mmc2fmae.cli import main
from mmc2fmae.engine.run_log import read_records
from mmc2fmae.engine.trackers import add_trackers
from tests.engine.test_launch import run

SECRET = 'k' * 40


class FakeWandb:
    """What of wandb is called, noted."""

    Image = staticmethod(lambda image: ('image', image.shape))

    def __init__(self, refuses=None):
        self.calls, self.refuses = [], refuses
        self.config = SimpleNamespace(update=lambda *a, **k: self.calls.append(('config', a)))

    def init(self, **kwargs):
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.calls.append(('init', kwargs))

    def define_metric(self, **kwargs):
        self.calls.append(('metric', kwargs))

    def log(self, values, commit=True):
        self.calls.append(('log', values))

    def finish(self):
        self.calls.append(('finish', None))


class FakeMLflow:
    """What of mlflow is called, noted."""

    start_run = None

    def __init__(self):
        self.calls = []

    def get_experiment_by_name(self, name):
        return None

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args))


@pytest.mark.parametrize(
    ('option', 'backend'),
    [
        ('tensorboard', 'TensorboardVisBackend'),
        ('wandb', 'WandbRunBackend'),
        ('mlflow', 'MLflowRunBackend'),
    ],
)
class TestOption:
    def test_adds_one_backend_beside_the_local_log_once(self, option, backend, monkeypatch):
        fake = SimpleNamespace(__version__='1', init=None, start_run=None)
        monkeypatch.setitem(sys.modules, option, fake)
        cfg = Config(dict(visualizer=dict(vis_backends=[dict(type='LocalVisBackend')])))
        for _ in range(2):  # the config of a run's folder has it already
            add_trackers(cfg, {option: True})
        kinds = [part['type'] for part in cfg.visualizer.vis_backends]
        assert kinds == ['LocalVisBackend', backend]

    @pytest.mark.parametrize('there', [None, SimpleNamespace()])  # or a folder of that name
    def test_missing_package_is_one_line_before_the_start(
        self, option, backend, there, config_file, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setitem(sys.modules, option, there)
        words = ['train', str(config_file), '--work-dir', str(tmp_path / 'run'), f'--{option}']
        assert main(words) == 2
        said = capsys.readouterr().err
        assert said == (
            f'mmc2fmae train: error: --{option} needs a package: pip install {option}\n'
        )
        assert not (tmp_path / 'run').exists()


def test_wandb_gets_curves_by_iteration_and_pictures_but_no_files(
    config_file, tmp_path, monkeypatch
):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, 'wandb', fake)
    run(config_file, '--work-dir', tmp_path / 'run', '--wandb')
    calls = dict(fake.calls)
    assert calls['init']['project'] == 'mmc2fmae'
    assert calls['init']['name'] == 'run'
    assert str(calls['init']['dir']).startswith(str(tmp_path / 'run'))
    assert calls['metric'] == dict(name='*', step_metric='iter')
    logged = [values for name, values in fake.calls if name == 'log']
    local = [r for r in read_records(tmp_path / 'run') if 'loss' in r]
    assert [r['loss'] for r in logged] == [r['loss'] for r in local]
    assert [r['iter'] for r in logged] == list(range(1, 10))
    assert fake.calls[-1] == ('finish', None)


def test_wandb_that_refuses_is_one_line(config_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'wandb', FakeWandb('api_key not configured (no-tty)\nmore'))
    words = ['train', str(config_file), '--work-dir', str(tmp_path / 'run'), '--wandb']
    assert main(words) == 2
    said = capsys.readouterr().err
    assert '--wandb: api_key not configured (no-tty); run `wandb login`, or set WANDB_MODE' in said
    assert said.count('\n') == 1


def test_mlflow_gets_curves_settings_and_pictures(config_file, tmp_path, monkeypatch):
    monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
    fake = FakeMLflow()
    monkeypatch.setitem(sys.modules, 'mlflow', fake)
    runner = run(config_file, '--work-dir', tmp_path / 'run', '--mlflow')
    named = dict(fake.calls)
    assert named['set_tracking_uri'] == (f'sqlite:///{tmp_path}/run/mlflow.db',)
    assert named['set_experiment'] == ('mmc2fmae',)
    assert named['log_params'][0]['lr'] == 1e-3
    assert [args[1] for name, args in fake.calls if name == 'log_metrics'] == list(range(1, 10))
    assert fake.calls[-1][0] == 'end_run'
    runner.visualizer.get_backend('MLflowRunBackend').add_image(
        'reconstructions', np.zeros((2, 2, 3), np.uint8), step=7
    )
    assert fake.calls[-1][1][1] == 'reconstructions_0000007.png'


def test_no_key_or_password_enters_the_folder_of_a_run(config_file, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv('WANDB_API_KEY', SECRET)
    monkeypatch.setenv('MLFLOW_TRACKING_URI', f'https://me:{SECRET}@example.org')
    monkeypatch.setenv('MLFLOW_TRACKING_PASSWORD', SECRET)
    monkeypatch.setitem(sys.modules, 'wandb', FakeWandb())
    monkeypatch.setitem(sys.modules, 'mlflow', FakeMLflow())
    run(config_file, '--work-dir', tmp_path / 'run', '--wandb', '--mlflow')
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    files = [path for path in (tmp_path / 'run').rglob('*') if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def offline_records(data):
    """Yield the records of an offline run: a log as LevelDB's, after a header of 7 bytes."""
    position, whole = 7, b''
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # no record begins at the end of a block
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack('<HB', data[position + 4 : position + 7])
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b''


def test_wandb_offline_run_is_read_back(config_file, tmp_path, monkeypatch):
    wandb = pytest.importorskip('wandb')
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_API_KEY', SECRET)
    run(config_file, '--work-dir', tmp_path / 'run', '--wandb')
    wandb.teardown()  # the file is written by a process of its own
    (path,) = (tmp_path / 'run').rglob('*.wandb')
    losses = []
    for data in offline_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.history.item:
            if (item.key or '/'.join(item.nested_key)) == 'loss':
                losses.append(json.loads(item.value_json))
    assert losses == [r['loss'] for r in read_records(tmp_path / 'run') if 'loss' in r]
    files = [path for path in (tmp_path / 'run').rglob('*') if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_mlflow_offline_run_is_read_back(config_file, tmp_path, monkeypatch):
    mlflow = pytest.importorskip('mlflow')
    monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
    runner = run(config_file, '--work-dir', tmp_path / 'run', '--mlflow')
    client = mlflow.MlflowClient(f'sqlite:///{tmp_path}/run/mlflow.db')
    (experiment,) = [e for e in client.search_experiments() if e.name == 'mmc2fmae']
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == 'FINISHED'
    assert found.data.params['lr'] == '0.001'
    points = client.get_metric_history(found.info.run_id, 'loss')
    logged = [r['loss'] for r in read_records(tmp_path / 'run') if 'loss' in r]
    assert [p.value for p in sorted(points, key=lambda p: p.step)] == logged
    assert runner.iter == 9


def test_the_registry_knows_the_backends():
    assert os.path.basename(VISBACKENDS.get('WandbRunBackend').__module__) == (
        'mmc2fmae.engine.trackers'
    )
    assert VISBACKENDS.get('MLflowRunBackend') is not None
