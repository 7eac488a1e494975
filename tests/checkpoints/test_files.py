import argparse
import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmc2fmae.checkpoints import read_state_dict
from mmc2fmae.checkpoints.files import read_file
from mmc2fmae.errors import CheckpointMismatch

WEIGHTS = {'norm.weight': torch.ones(3)}


class Payload(nn.Module):
    """What a pickle must not bring along."""


@pytest.mark.parametrize(
    'checkpoint',
    [
        WEIGHTS,
        dict(model=WEIGHTS, args=argparse.Namespace(lr=0.1), epoch=3),  # MAE, MultiMAE
        dict(state_dict=WEIGHTS, arch='vit_base', optimizer=dict(state={})),  # MoCo v3
        dict(student={'x': torch.zeros(1)}, teacher=WEIGHTS, epoch=3),  # DINO, iBOT
        dict(WEIGHTS, step=7),
        dict(model_state_dict=WEIGHTS, epoch=3),
    ],
)
def test_wrappers_are_taken_off(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / 'x.pth')
    assert list(read_state_dict(tmp_path / 'x.pth')) == ['norm.weight']


def test_a_folder_is_read_with_its_config(tmp_path):
    save_file(WEIGHTS, tmp_path / 'model.safetensors')
    config = dict(num_attention_heads=4, layer_norm_eps=1e-12, image_size=32, hidden_act='gelu')
    (tmp_path / 'config.json').write_text(json.dumps(config))
    processor = dict(image_mean=[0.5] * 3, image_std=[0.25] * 3)
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(processor))
    expected = dict(num_heads=4, norm_eps=1e-12, img_size=[32, 32], mean=[0.5] * 3, std=[0.25] * 3)
    for path in (tmp_path, tmp_path / 'model.safetensors'):
        assert read_file(path).stated == expected
    (tmp_path / 'config.json').write_text(json.dumps(config | dict(hidden_act='gelu_new')))
    with pytest.raises(CheckpointMismatch, match="hidden_act 'gelu_new'"):
        read_file(tmp_path)


def test_a_timm_folder_is_read_with_its_config(tmp_path):
    save_file(WEIGHTS, tmp_path / 'model.safetensors')
    cfg = dict(mean=[0.5] * 3, std=[0.5] * 3, input_size=[3, 32, 48])
    config = dict(architecture='vit_base_patch16_224', pretrained_cfg=cfg)
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert read_file(tmp_path).stated == dict(mean=[0.5] * 3, std=[0.5] * 3, img_size=[32, 48])


def test_another_weights_file_has_no_use_for_a_config_beside_it(tmp_path):
    save_file(WEIGHTS, tmp_path / 'mine.safetensors')
    (tmp_path / 'config.json').write_text(json.dumps(dict(num_attention_heads=4)))
    assert read_file(tmp_path / 'mine.safetensors').stated == {}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (Payload(), r'holds more than weights, [\w.]*Payload, and is not unpickled'),
        (dict(epoch=3), r"is no readable.*no state dict: found \['epoch'\]"),
        ([torch.zeros(1)], 'is no readable.*no state dict: found list'),
    ],
)
def test_what_is_no_state_dict_is_refused(content, message, tmp_path):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(CheckpointMismatch, match=rf'x\.pth.*{message}'):
        read_state_dict(tmp_path / 'x.pth')


def test_missing_and_truncated_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth does not exist'):
        read_state_dict(tmp_path / 'nothing.pth')
    with pytest.raises(FileNotFoundError, match=r'none of model\.safetensors'):
        read_state_dict(tmp_path)
    for name, save in (('x.pth', torch.save), ('x.safetensors', save_file)):
        save(WEIGHTS, tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:60])
        with pytest.raises(CheckpointMismatch, match=rf'{name} is no readable checkpoint'):
            read_state_dict(tmp_path / name)
