"""A small pre-training run on disk: its data, and a checkpoint that carries its config."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.datasets.conftest import data_root, pipeline  # noqa: F401  (fixtures)
from tests.models.conftest import build, config  # noqa: F401  (fixtures)


@pytest.fixture
def checkpoint(config, build, data_root, pipeline, tmp_path) -> Path:  # noqa: F811
    """A C2FMAE of 32 x 32 images with 16 patches a granularity, of which 8 of 48 were visible."""
    prefix = dict(rgb='train', instance='instance/train', semantic='semantic/train')
    dataset = dict(
        type='MultiGranularDataset',
        data_root=str(data_root),
        data_prefix=prefix,
        pipeline=pipeline,
    )
    cfg = Config(dict(model=config, train_dataloader=dict(dataset=dataset)))
    path = tmp_path / 'run' / 'epoch_3.pth'
    path.parent.mkdir()
    model = build(config)
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=model.state_dict()), path)
    return path
