import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmpretrain.models import VisionTransformer
from mmpretrain.registry import MODELS
from safetensors.torch import save_file
from torch import nn

from mmc2fmae.engine import CheckpointMismatch, load_backbone
from mmc2fmae.engine.checkpoints import coverage, read_state_dict

ARCH = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)


@pytest.fixture
def checkpoint(tmp_path):
    """A pre-training checkpoint with a backbone of several granularities."""
    model = MODELS.build(
        dict(
            type='C2FMAE',
            backbone=dict(
                type='MultiGranularViT',
                arch=ARCH,
                img_size=32,
                patch_size=8,
                granularities=dict(semantic=dict(num_classes=9, stride=2)),
            ),
            neck=dict(type='CascadedDecoder', order=('semantic', 'rgb'), dims=16, num_heads=2),
            head=dict(type='MultiGranularHead'),
        )
    )
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=dict(epoch=1), state_dict=model.state_dict()), path)
    return path


def vit(**options):
    return VisionTransformer(**(dict(arch=ARCH, img_size=32, patch_size=8) | options))


def test_coverage_of_the_papers_vit_is_150_tensors():
    backbone = VisionTransformer(arch='base')
    found = coverage(backbone.state_dict(), backbone)
    text = '150/150 tensors, 85.8 M parameters from vit.pth'
    assert found.summary('vit.pth') == text


def test_backbone_is_filled_and_the_share_is_printed(checkpoint, capsys):
    MMLogger.get_instance('printed')  # writes to the standard output of this moment
    backbone = vit()
    found = load_backbone(backbone, checkpoint)
    assert found.filled == found.tensors == len(backbone.state_dict())
    assert all('label_embeds' in key for key in found.unused)
    weights = torch.load(checkpoint)['state_dict']
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, weights[f'backbone.{key}'])
    printed = capsys.readouterr().out
    assert f'backbone: {found.tensors}/{found.tensors} tensors' in printed
    assert str(checkpoint) in printed


def test_a_missing_tensor_is_an_error_that_lists_it(checkpoint):
    state = torch.load(checkpoint)
    state['state_dict']['backbone.layers.0.ln1.gamma'] = state['state_dict'].pop(
        'backbone.layers.0.ln1.weight'
    )
    torch.save(state, checkpoint)
    with pytest.raises(CheckpointMismatch, match=r'missing layers\.0\.ln1\.weight'):
        load_backbone(vit(), checkpoint)


def test_another_architecture_is_an_error_with_both_shapes(checkpoint):
    wider = vit(arch=ARCH | dict(feedforward_channels=96))
    with pytest.raises(
        CheckpointMismatch, match=r'\(48, 24\) in the file, \(96, 24\) in the model'
    ):
        load_backbone(wider, checkpoint)


def test_wrong_prefix_fills_nothing_and_says_so(checkpoint):
    with pytest.raises(CheckpointMismatch, match=r'0/\d+ tensors.*(?s:.*)missing cls_token'):
        load_backbone(vit(), checkpoint, prefix='encoder.')


def test_positions_are_resampled_to_another_image_size(checkpoint):
    backbone = vit(img_size=64)
    found = load_backbone(backbone, checkpoint)
    assert found.filled == found.tensors
    assert backbone.pos_embed.shape == (1, 65, 24)


def test_safetensors_are_read(tmp_path):
    backbone = vit()
    save_file(backbone.state_dict(), tmp_path / 'vit.safetensors')
    found = load_backbone(vit(), tmp_path / 'vit.safetensors')
    assert found.filled == found.tensors


def test_pickled_code_is_refused(tmp_path):
    class Payload(nn.Module):
        pass

    Payload.__qualname__ = 'Payload'
    globals()['Payload'] = Payload
    torch.save(Payload(), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointMismatch, match='no readable checkpoint'):
        read_state_dict(tmp_path / 'evil.pth')


def test_missing_and_truncated_files_are_named(tmp_path, checkpoint):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth does not exist'):
        read_state_dict(tmp_path / 'nothing.pth')
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    with pytest.raises(CheckpointMismatch, match=r'epoch_1\.pth is no readable checkpoint'):
        read_state_dict(checkpoint)


def test_init_cfg_fills_a_backbone_strictly(checkpoint):
    backbone = vit(init_cfg=dict(type='StrictPretrained', checkpoint=str(checkpoint)))
    assert isinstance(backbone, BaseModule)
    backbone.init_weights()
    weights = torch.load(checkpoint)['state_dict']
    assert torch.equal(backbone.cls_token, weights['backbone.cls_token'])
