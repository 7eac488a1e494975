"""Whole runs of SemanticMIM: BEiT's published config in tiny; the mini ones: test_baselines.py."""

import pytest
import torch
from mmpretrain.models.selfsup.cae import DALLEEncoder

from mmc2fmae.checkpoints import load_backbone
from mmc2fmae.models import PlainViT
from tests.datasets.conftest import write_sample
from tests.engine.test_baselines import CONFIGS, weights_after_resuming
from tests.engine.test_launch import run

TINY = """
_base_ = '{root}/pretrain/semanticmim/semanticmim_beit_vitb_300e.py'
from mmc2fmae.engine.overrides import set_fields
set_fields(_base_, 'JointRandomResizedCrop', size=32)
set_fields(_base_, 'ProgressiveMasking', patch_size=8, num_visible=6)
dataset = _base_.train_dataloader.dataset
dataset.data_root = '{data}'
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dataset
)
del dataset
_base_.model.backbone.update(
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
    img_size=32,
    patch_size=8,
    drop_path_rate=0.5,
)
_base_.model.target_generator.update(
    weights='{data}/tokenizer.pth', vocab_size=11, n_hid=4, n_blk_per_group=1
)
train_cfg = dict(max_epochs=3)
"""


@pytest.fixture
def config(tmp_path):
    """BEiT's published config with a tiny model, twelve photographs and a tiny tokenizer."""
    data = tmp_path / 'data'
    for i in range(12):
        write_sample(data, f'n{i % 3}/img_{i:02}', seed=i)
    encoder = DALLEEncoder(vocab_size=11, n_hid=4, n_blk_per_group=1)
    torch.save(encoder.state_dict(), data / 'tokenizer.pth')
    (tmp_path / 'beit_tiny.py').write_text(TINY.format(root=CONFIGS, data=data))
    return tmp_path / 'beit_tiny.py'


def test_resumed_run_ends_with_the_same_bits_and_fills_a_plain_vit(config, tmp_path):
    expected = weights_after_resuming(config, tmp_path)
    assert not any('target_generator' in key for key in expected)  # the tokenizer has its own file
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    found = load_backbone(
        PlainViT(arch=arch, img_size=32, patch_size=8), tmp_path / 'cut/epoch_3.pth'
    )
    assert found.filled == found.tensors


def test_a_missing_tokenizer_stops_the_run_with_the_way_to_get_it(config, tmp_path):
    (tmp_path / 'data/tokenizer.pth').unlink()
    with pytest.raises(FileNotFoundError, match=r'tokenizer\.pth.* does not exist: download'):
        run(config, '--work-dir', tmp_path / 'run')
