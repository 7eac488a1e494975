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


def test_several_class_tokens_have_positions_of_their_own_and_one_mean():
    arch = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)
    options = dict(arch=arch, img_size=32, patch_size=8, num_cls_tokens=3)
    vit = PlainViT(out_type='raw', **options)
    vit.init_weights()
    assert vit.cls_token.shape == (1, 3, 24) and vit.pos_embed.shape == (1, 3 + 16, 24)
    vit.eval()
    image = torch.rand(2, 3, 32, 48)  # positions of the patches are resampled to 4 x 6
    (tokens,) = vit(image)
    assert tokens.shape == (2, 3 + 24, 24)
    vit.out_type = 'cls_token'
    assert torch.allclose(vit(image)[0], tokens[:, :3].mean(dim=1))
    vit.out_type = 'featmap'
    assert torch.equal(vit(image)[0].flatten(2).transpose(1, 2), tokens[:, 3:])


def test_frozen_proxies_stay_frozen():
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, num_cls_tokens=3, frozen_stages=2)
    assert not any(parameter.requires_grad for parameter in vit.parameters())


@pytest.mark.parametrize('window', [0, 2])
def test_feature_maps_leave_proxies_out_but_patches_read_them(window):
    """As detection and segmentation take them, against the raw tokens of every block."""
    torch.manual_seed(0)
    options = dict(num_cls_tokens=3, window_size=window, final_norm=False, out_indices=[0, 1])
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, out_type='featmap', **options)
    vit.init_weights()
    image = torch.rand(2, 3, 32, 48)
    maps = vit(image)
    vit.out_type = 'raw'
    for found, tokens in zip(maps, vit(image), strict=True):
        assert found.shape == (2, 24, 4, 6) and tokens.shape == (2, 3 + 24, 24)
        for row, column in ((0, 0), (1, 4), (3, 5)):
            assert torch.equal(found[:, :, row, column], tokens[:, 3 + 6 * row + column])
    sum(x.square().mean() for x in maps).backward()
    assert all(p.grad is not None for p in (vit.cls_token, vit.pos_embed))
    assert (vit.cls_token.grad[0].abs().amax(dim=1) > 0).all()  # each is read


@pytest.mark.parametrize(
    'wrong', [dict(num_cls_tokens=0), dict(num_cls_tokens=2, with_cls_token=False)]
)
def test_a_number_of_class_tokens_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match='expected at least 1 class token'):
        PlainViT(img_size=32, patch_size=8, out_type='raw', **wrong)
