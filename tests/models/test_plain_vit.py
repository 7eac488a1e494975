import pytest
import torch
from mmdet.registry import MODELS as DET
from mmpretrain.registry import MODELS as CLS
from mmseg.registry import MODELS as SEG

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.models import PlainViT

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint in which every tensor differs from any initial value."""
    torch.manual_seed(1)
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8)
    weights = {f'backbone.{k}': torch.randn_like(v) for k, v in vit.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'epoch_1.pth')
    return tmp_path / 'epoch_1.pth', weights


def test_pretrained_weights_survive_initialisation(checkpoint):
    """mmpretrain's layers draw their weights after any init_cfg but mmengine's own."""
    path, weights = checkpoint
    init_cfg = dict(type='StrictPretrained', checkpoint=str(path))
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, init_cfg=init_cfg)
    vit.init_weights()
    for key, value in vit.state_dict().items():
        assert torch.equal(value, weights[f'backbone.{key}']), key


def test_another_patch_size_is_refused(checkpoint):
    init_cfg = dict(type='StrictPretrained', checkpoint=str(checkpoint[0]))
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=16, init_cfg=init_cfg)
    with pytest.raises(CheckpointMismatch, match=r'patch_embed\.projection\.weight'):
        vit.init_weights()


def test_scratch_starts_as_mae_does():
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8)
    vit.init_weights()
    assert vit.pos_embed.requires_grad
    assert torch.equal(vit.pos_embed[0, 0], torch.zeros(24))
    # sin-cos: each position's vector has the same norm, sqrt(D / 2)
    assert torch.allclose(vit.pos_embed[0, 1:].norm(dim=1), torch.tensor(12.0).sqrt())
    assert all(m.bias.abs().max() == 0 for m in vit.modules() if isinstance(m, torch.nn.Linear))


@pytest.mark.parametrize('registry', [CLS, DET, SEG], ids=lambda r: r.scope)
def test_each_framework_knows_it_without_a_scope(registry):
    assert isinstance(registry.build(dict(type='PlainViT', arch=ARCH)), PlainViT)


def test_image_must_be_a_multiple_of_the_patch():
    with pytest.raises(ValueError, match='image size 30 is no multiple of the patch size 8'):
        PlainViT(arch=ARCH, img_size=30, patch_size=8)
