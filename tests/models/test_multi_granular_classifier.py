import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmc2fmae.checkpoints import load_backbone
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.models import C2FMAE

GRANULARITIES = dict(instance=dict(num_classes=4, stride=2), semantic=dict(num_classes=9, stride=2))
BACKBONE = dict(
    type='MultiGranularViT',
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
    img_size=32,
    patch_size=8,
    granularities=GRANULARITIES,
)


def build(**kwargs):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='MultiGranularClassifier',
            backbone=BACKBONE | dict(out_type='avg_featmap', final_norm=False),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=24),
        )
        | kwargs
    )
    model.init_weights()
    return model


def batch(n=4):
    generator = torch.Generator().manual_seed(1)
    return dict(
        inputs=dict(
            rgb=torch.randint(256, (n, 3, 32, 32), generator=generator, dtype=torch.uint8),
            instance=torch.randint(4, (n, 16, 16), generator=generator, dtype=torch.uint8),
            semantic=torch.randint(9, (n, 16, 16), generator=generator, dtype=torch.uint8),
        ),
        gt_label=torch.arange(n) % 5,
        path=[f'{i}.jpg' for i in range(n)],
    )


@pytest.mark.parametrize('name', ['rgb', 'instance', 'semantic'])
def test_every_granularity_has_a_say(name):
    model = build().eval()
    data = batch()
    changed = dict(data, inputs=dict(data['inputs']))
    changed['inputs'][name] = data['inputs'][name].roll(1, dims=0)
    scores = [model(**model.data_preprocessor(d), mode='tensor') for d in (data, changed)]
    assert scores[0].shape == (4, 5)
    assert not torch.allclose(*scores)


def test_loss_is_the_cross_entropy_of_its_own_scores():
    model = build().eval()
    data = model.data_preprocessor(batch())
    scores = model(**data, mode='tensor')
    expected = torch.nn.functional.cross_entropy(scores, torch.arange(4))
    torch.testing.assert_close(model(**data, mode='loss')['loss'], expected)


def test_predictions_carry_label_and_truth():
    model = build().eval()
    samples = model(**model.data_preprocessor(batch()), mode='predict')
    assert [int(s.gt_label) for s in samples] == [0, 1, 2, 3]
    assert all(s.pred_score.shape == (5,) for s in samples)


def test_mixup_of_tokens_equals_mixup_of_pixels():
    model = build(train_cfg=dict(augments=dict(type='Mixup', alpha=0.8))).eval()
    tokens = model.embed(model.data_preprocessor(batch())['inputs'])
    rgb = model.data_preprocessor(batch())['inputs']['rgb']
    mixed = model.backbone.patch_embed(0.3 * rgb + 0.7 * rgb.flip(0))[0]
    positions = model.backbone.pos_embed[:, 1:]
    expected = mixed + positions  # rgb comes first in the sequence
    torch.testing.assert_close((0.3 * tokens + 0.7 * tokens.flip(0))[:, :16], expected)


def test_cutmix_cuts_the_same_patches_of_all_granularities():
    model = build(train_cfg=dict(augments=dict(type='CutMix', alpha=1.0)))
    seen = []

    def pool(tokens):
        seen.append(tokens)
        return (tokens.mean(dim=1),)

    model.pool = pool
    model.mix.augments[0].cutmix_bbox_and_lam = lambda *_, **__: ((1, 3, 0, 2), 0.75)
    data = model.data_preprocessor(batch())
    torch.manual_seed(4)
    model.loss(**data)
    torch.manual_seed(4)
    index = torch.randperm(4)
    assert index.tolist() != [0, 1, 2, 3]  # else nothing would be mixed
    tokens = model.embed(data['inputs']).view(4, 3, 4, 4, 24)
    expected = tokens.clone()
    expected[:, :, 1:3, 0:2] = tokens[index][:, :, 1:3, 0:2]
    torch.testing.assert_close(seen[0], expected.flatten(1, 3))


def test_pretrained_checkpoint_fills_it_with_its_label_embeddings(tmp_path):
    pretrained = C2FMAE(
        backbone=BACKBONE,
        neck=dict(type='CascadedDecoder', dims=16, num_heads=2),
        head=dict(type='MultiGranularHead'),
    )
    pretrained.init_weights()
    weights = pretrained.state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'epoch_1.pth')
    model = build()
    load_backbone(model.backbone, tmp_path / 'epoch_1.pth')
    for key in ('layers.1.attn.qkv.weight', 'label_embeds.semantic.classes.weight'):
        assert torch.equal(model.backbone.state_dict()[key], weights[f'backbone.{key}'])
    rgb_only = {k: v for k, v in weights.items() if 'label_embeds.semantic' not in k}
    torch.save(dict(state_dict=rgb_only), tmp_path / 'rgb.pth')
    with pytest.raises(CheckpointMismatch, match=r'label_embeds\.semantic'):
        load_backbone(model.backbone, tmp_path / 'rgb.pth')


def test_samples_of_a_batch_are_labelled():
    samples = build().data_preprocessor(batch())['data_samples']
    assert isinstance(samples[0], DataSample) and int(samples[3].gt_label) == 3
