import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import Sequential
from mmpretrain.models import MAEViT, VisionTransformer
from mmpretrain.registry import MODELS
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer as TimmViT

from mmc2fmae.checkpoints import load_backbone, read_backbone
from mmc2fmae.checkpoints.loading import coverage
from mmc2fmae.engine import launch
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.models import MultiGranularViT, PlainViT
from tests.engine.conftest import config_file  # noqa: F401  (fixture)

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
    for parameter in model.parameters():  # zeros would hide a permutation
        torch.nn.init.normal_(parameter)
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


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(patch_size=4),
            r'patch_size 8 in epoch_1\.pth, 4 in the model: set backbone\.patch_s',
        ),
        (
            dict(arch=ARCH | dict(num_layers=2)),
            r'num_layers 1 in .* set backbone\.arch\.num_layers',
        ),
        (dict(in_channels=4), 'in_channels 3 in'),
        (dict(qkv_bias=False), 'qkv_bias True in'),
    ],
)
def test_what_differs_is_said_in_words(options, message, checkpoint):
    with pytest.raises(CheckpointMismatch, match=message):
        load_backbone(vit(**options), checkpoint)


def test_other_heads_compute_something_else_and_are_an_error(checkpoint):
    state = torch.load(checkpoint)
    torch.save(state | dict(meta=dict(backbone=dict(num_heads=4))), checkpoint)
    with pytest.raises(CheckpointMismatch, match=r'num_heads 4 in .*, 2 in the model'):
        load_backbone(vit(), checkpoint)


def test_a_model_with_final_norm_refuses_a_file_without(checkpoint):
    state = torch.load(checkpoint)
    for leaf in ('weight', 'bias'):
        del state['state_dict'][f'backbone.ln1.{leaf}']
    torch.save(state, checkpoint)
    with pytest.raises(CheckpointMismatch, match=r'set backbone\.final_norm to False'):
        load_backbone(vit(), checkpoint)
    found = load_backbone(vit(final_norm=False), checkpoint)
    assert found.filled == found.tensors


def test_norm_of_pooled_features_starts_fresh_and_this_is_printed(checkpoint, capsys):
    MMLogger.get_instance('printed-fresh')
    backbone = vit(final_norm=False, out_type='avg_featmap')
    found = load_backbone(backbone, checkpoint)
    assert found.fresh == ['ln2.weight', 'ln2.bias']
    assert found.filled == found.tensors - 2
    assert set(found.unused) > {'ln1.weight', 'ln1.bias'}
    assert 'fresh: ln2.weight, ln2.bias' in capsys.readouterr().out


def test_label_embeddings_are_filled_and_may_not_be_missing(checkpoint, tmp_path):
    options = dict(arch=ARCH, img_size=32, patch_size=8)
    labels = MultiGranularViT(granularities=dict(semantic=dict(num_classes=9, stride=2)), **options)
    load_backbone(labels, checkpoint)
    weights = torch.load(checkpoint)['state_dict']
    key = 'label_embeds.semantic.projection.weight'
    assert torch.equal(labels.state_dict()[key], weights[f'backbone.{key}'])
    save_file(vit().state_dict(), tmp_path / 'plain.safetensors')
    with pytest.raises(CheckpointMismatch, match=rf'missing .*{key}'):
        load_backbone(labels, tmp_path / 'plain.safetensors')


def test_a_model_without_class_token_takes_positions_of_patches_alone(checkpoint):
    backbone = vit(with_cls_token=False, out_type='featmap')
    load_backbone(backbone, checkpoint)
    weights = torch.load(checkpoint)['state_dict']
    assert torch.equal(backbone.pos_embed, weights['backbone.pos_embed'][:, 1:])


@pytest.fixture
def proxies(tmp_path):
    """A checkpoint with three class tokens and 4 x 4 patches."""
    weights = PlainViT(arch=ARCH, img_size=32, patch_size=8, num_cls_tokens=3).state_dict()
    torch.save({k: torch.randn_like(v) for k, v in weights.items()}, tmp_path / 'proxies.pth')
    return tmp_path / 'proxies.pth'


def test_proxies_keep_their_positions_where_those_of_patches_are_resampled(proxies):
    backbone = PlainViT(arch=ARCH, img_size=64, patch_size=8, num_cls_tokens=3)
    load_backbone(backbone, proxies)
    weights = torch.load(proxies)
    assert torch.equal(backbone.cls_token, weights['cls_token'])
    assert torch.equal(backbone.pos_embed[:, :3], weights['pos_embed'][:, :3])
    expected = torch.nn.functional.interpolate(
        weights['pos_embed'][:, 3:].mT.unflatten(2, (4, 4)), (8, 8), mode='bicubic'
    )
    torch.testing.assert_close(backbone.pos_embed[0, 3:], expected[0].flatten(1).mT)


@pytest.mark.parametrize('img_size', [32, 64])
@pytest.mark.parametrize(
    ('options', 'own'),
    [
        (dict(), 1),
        (dict(num_cls_tokens=2), 2),
        (dict(with_cls_token=False, out_type='featmap'), 0),
        (dict(type=MultiGranularViT), 1),
    ],
    ids=['one', 'two', 'none', 'multi-granular'],
)
def test_another_number_of_proxies_is_an_error_that_says_what_to_set(
    options, own, img_size, proxies
):
    options = dict(type=PlainViT, arch=ARCH, img_size=img_size, patch_size=8) | options
    backbone = options.pop('type')(**options)
    message = rf'num_cls_tokens 3 in .*, {own} in the model: set backbone\.num_cls_tokens to 3'
    with pytest.raises(CheckpointMismatch, match=message):
        load_backbone(backbone, proxies)
    found = coverage(torch.load(proxies), backbone)  # of load_from: an error all the same
    assert found.filled < found.tensors


def test_a_single_class_token_does_not_fill_proxies(checkpoint):
    backbone = PlainViT(arch=ARCH, img_size=32, patch_size=8, num_cls_tokens=3)
    with pytest.raises(CheckpointMismatch, match=r'num_cls_tokens 1 in .*, 3 in the model'):
        load_backbone(backbone, checkpoint)


def test_positions_go_to_a_grid_of_as_many_patches_in_another_shape(checkpoint):
    wide = vit(img_size=(16, 64))  # 2 x 8 patches in place of 4 x 4: equal shapes, other places
    load_backbone(wide, checkpoint)
    weights = torch.load(checkpoint)['state_dict']
    expected = torch.nn.functional.interpolate(
        weights['backbone.pos_embed'][:, 1:].mT.unflatten(2, (4, 4)), (2, 8), mode='bicubic'
    )
    torch.testing.assert_close(wide.pos_embed[0, 1:], expected[0].flatten(1).mT)


def test_another_epsilon_is_printed(checkpoint, capsys):
    MMLogger.get_instance('printed-epsilon')
    state = torch.load(checkpoint)
    torch.save(state | dict(meta=dict(backbone=dict(norm_eps=1e-12))), checkpoint)
    load_backbone(vit(), checkpoint)
    assert 'epsilon 1e-12 in the file, 1e-06 in the model' in capsys.readouterr().out


def test_official_mae_files_fill_a_backbone(tmp_path):
    reference = TimmViT(img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=2, mlp_ratio=2)
    torch.save(dict(model=reference.state_dict()), tmp_path / 'mae.pth')
    init_cfg = dict(type='StrictPretrained', checkpoint=str(tmp_path / 'mae.pth'))
    backbone = PlainViT(arch=ARCH, img_size=32, patch_size=8, init_cfg=init_cfg)
    backbone.init_weights()
    found = backbone.state_dict()['layers.0.attn.qkv.weight']
    assert torch.equal(found, reference.blocks[0].attn.qkv.weight)


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


def test_init_cfg_fills_a_backbone_strictly(checkpoint):
    init_cfg = dict(type='StrictPretrained', checkpoint=str(checkpoint))
    backbone = PlainViT(arch=ARCH, img_size=32, patch_size=8, init_cfg=init_cfg)
    Sequential(backbone).init_weights()
    weights = torch.load(checkpoint)['state_dict']
    own = backbone.state_dict()
    assert all(torch.equal(own[key], weights[f'backbone.{key}']) for key in own)


@pytest.mark.parametrize('kind', [VisionTransformer, MAEViT])
@pytest.mark.parametrize('within', [False, True])
def test_vits_that_would_draw_weights_anew_after_init_cfg_are_refused(kind, within, checkpoint):
    init_cfg = dict(type='StrictPretrained', checkpoint=str(checkpoint))
    backbone = kind(arch=ARCH, img_size=32, patch_size=8, init_cfg=init_cfg)
    with pytest.raises(CheckpointMismatch, match=f'{kind.__name__} draws weights anew .* PlainViT'):
        (Sequential(backbone) if within else backbone).init_weights()


def test_a_run_states_its_backbone_in_every_checkpoint(config_file, tmp_path):  # noqa: F811
    cfg = Config.fromfile(config_file)
    cfg.work_dir, cfg.train_cfg.max_epochs = str(tmp_path / 'run'), 1
    cfg.launcher = 'none'
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
    cfg.model.backbone.arch.num_heads = 4  # not what 64 a head would give
    cfg.model.data_preprocessor = dict(mean=[51.0] * 3, std=[25.5, 51.0, 255.0])
    launch.build_runner(cfg).train()
    found = read_backbone(tmp_path / 'run/epoch_1.pth')
    assert found.arch.num_heads == 4
    assert found.preprocessing.mean == pytest.approx((0.2, 0.2, 0.2))
    assert found.preprocessing.std == pytest.approx((0.1, 0.2, 1.0))
    assert not found.preprocessing.assumed


LABEL_MAPS = {
    'none': {},
    'the same': dict(semantic=9),
    'other classes': dict(semantic=5),
    'another map': dict(instance=9),
    'one more': dict(semantic=9, instance=4),
    'one of two': dict(semantic=5, instance=4),
}


@pytest.mark.parametrize('name', LABEL_MAPS)
def test_embeddings_of_label_maps_start_fresh_whole_and_only_where_a_run_learns_them(
    name, checkpoint
):
    maps = {g: dict(num_classes=n, stride=2) for g, n in LABEL_MAPS[name].items()}
    fitting = {'semantic'} if LABEL_MAPS[name].get('semantic') == 9 else set()
    backbone = MultiGranularViT(maps, arch=ARCH, img_size=32, patch_size=8)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    saved = torch.load(checkpoint, weights_only=True)['state_dict']
    if set(maps) != fitting:
        with pytest.raises(CheckpointMismatch, match=r'label_embeds\.'):
            load_backbone(backbone, checkpoint)
    found = load_backbone(backbone, checkpoint, new_labels=True)
    fresh = {key for key in found.fresh if not key.startswith('ln2')}
    parts = ('classes.weight', 'projection.weight', 'projection.bias')
    assert fresh == {f'label_embeds.{g}.{part}' for g in set(maps) - fitting for part in parts}
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key] if key in fresh else saved[f'backbone.{key}']), key
