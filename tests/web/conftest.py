"""A tiny run: data, config and checkpoint, as the demonstration finds them."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmc2fmae.web.study import Study, open_study
from tests.datasets.conftest import write_sample
from tests.engine.conftest import CONFIG

ROOT = Path(__file__).parents[2]


def save_run(path: Path, cfg: Config) -> Path:
    """Write a checkpoint with the random weights of a config's model, as a run would."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.backbone.cls_token)  # else proxies are all alike
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='session')
def config_path(tmp_path_factory) -> Path:
    """Write twelve 48 x 40 samples with maps, and a config with 16 patches a granularity."""
    folder = tmp_path_factory.mktemp('demo')
    for i in range(12):
        write_sample(folder / 'data', f'n{i % 3}/img_{i:02}', seed=i)
    path = folder / 'config.py'
    path.write_text(CONFIG.format(root=ROOT, data=folder / 'data'))
    return path


@pytest.fixture
def cfg(config_path: Path) -> Config:
    """Return the config."""
    return Config.fromfile(config_path)


@pytest.fixture(scope='session')
def checkpoint(config_path: Path) -> Path:
    """Return a checkpoint of it."""
    return save_run(config_path.with_name('epoch_3.pth'), Config.fromfile(config_path))


@pytest.fixture(scope='session')
def study(checkpoint: Path) -> Study:
    """Return the study of it; it is not changed by looking."""
    return open_study(checkpoint)


def controls(**changes) -> dict:
    """Return the controls of the page as a browser sends them."""
    fields = dict(strategy='RD', t=0.5, visible=None, total=8, seed=0, query=None)
    return fields | dict(target_stats=True) | changes
