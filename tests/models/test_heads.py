"""Eq. 12 and decision D9: what the losses average over."""

import math

import pytest
import torch

from mmc2fmae.models.heads import mean_per_sample
from tests.models.conftest import make_batch


def losses(model, batch):
    return model(**model.data_preprocessor(batch), mode='loss')


def zero_predictors(model):
    for predictor in model.head.predictors.values():
        torch.nn.init.zeros_(predictor[1].weight)
        torch.nn.init.zeros_(predictor[1].bias)
    return model


def test_average_is_per_sample_first():
    # Sample 0: patches with sums 2 and 4 over 1 pixel each; sample 1: one patch, sum 9, 3 pixels;
    # sample 2: nothing. Means 3 and 3, over two samples.
    mean = mean_per_sample(
        torch.tensor([2.0, 4.0, 9.0]),
        torch.tensor([1, 1, 3]),
        torch.tensor([0, 1, 3]),
        (3, 2),
    )
    assert mean.item() == 3.0


def test_uniform_predictions_cost_log_classes_and_unit_variance(config, build):
    model = zero_predictors(build(config))
    found = losses(model, make_batch())
    assert found['loss_semantic'].item() == pytest.approx(math.log(9), rel=1e-5)
    assert found['loss_instance'].item() == pytest.approx(math.log(4), rel=1e-5)
    # Normalised pixels have unit (unbiased) variance: a zero prediction costs (P - 1) / P.
    assert found['loss_rgb'].item() == pytest.approx(191 / 192, rel=1e-3)


def test_unnormalised_pixels_cost_their_mean_square(config, build):
    config['head']['norm_pix'] = False
    model = zero_predictors(build(config))
    batch = make_batch(batch=1)
    rgb = model.data_preprocessor(batch)['inputs']['rgb'][0]
    windows = torch.nn.functional.unfold(rgb[None], 8, stride=8)[0].T
    expected = windows[batch['masks']['rgb'][0]].square().mean()
    assert losses(model, batch)['loss_rgb'].item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_masked_patches_count(config, build):
    model = build(config)
    batch = make_batch()
    before = losses(model, batch)
    visible = ~batch['masks']['semantic'].view(3, 4, 4)
    where = visible.repeat_interleave(4, 1).repeat_interleave(4, 2)
    prepared = model.data_preprocessor(batch)
    tokens = model.backbone.embed(prepared['inputs'], prepared['data_samples'])
    features = model.autoencode(tokens, prepared['data_samples'].visible)
    prepared['inputs']['semantic'][where] = 8  # targets change at visible patches only
    after = model.head.loss(features, prepared['inputs'], prepared['data_samples'])
    assert torch.equal(before['loss_semantic'], after['loss_semantic'])


def test_unknown_pixels_count_nowhere(config, build):
    model = zero_predictors(build(config))
    batch = make_batch()
    batch['inputs']['semantic'][:, ::2] = 255
    assert losses(model, batch)['loss_semantic'].item() == pytest.approx(math.log(9), rel=1e-5)


@pytest.mark.parametrize('emptied', ['all visible', 'all unknown'])
def test_nothing_to_predict_costs_zero_and_never_nan(config, build, emptied):
    model = build(config)
    batch = make_batch(visible=16)
    if emptied == 'all visible':  # the whole budget goes to the semantic map
        for name, mask in batch['masks'].items():
            mask.fill_(name != 'semantic')
    else:
        batch['inputs']['semantic'].fill_(255)
    found = losses(model, batch)
    assert found['loss_semantic'].item() == 0.0
    sum(found.values()).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_weights_scale_the_losses_apart(config, build):
    before = losses(build(config), make_batch())
    config['head']['loss_weights'] = dict(rgb=2.0, semantic=0.5)
    after = losses(build(config), make_batch())
    assert after['loss_rgb'].item() == pytest.approx(2 * before['loss_rgb'].item())
    assert after['loss_semantic'].item() == pytest.approx(0.5 * before['loss_semantic'].item())
    assert after['loss_instance'].item() == pytest.approx(before['loss_instance'].item())


def test_weights_of_unknown_granularities_are_refused(config, build):
    config['head']['loss_weights'] = dict(depth=1.0)
    with pytest.raises(ValueError, match=r"names \['depth'\]: expected some of \['rgb', 'inst"):
        build(config)


def test_perfect_pixels_are_restored_from_target_statistics(config, build):
    model = build(config)
    batch = make_batch()
    inputs = model.data_preprocessor(batch)['inputs']
    patches = torch.nn.functional.unfold(inputs['rgb'], 8, stride=8).transpose(1, 2)
    deviation = (patches.var(-1, keepdim=True) + 1e-6).sqrt()
    perfect = (patches - patches.mean(-1, keepdim=True)) / deviation
    model.head.predictors['rgb'] = torch.nn.Identity()
    features = {name: torch.zeros(3, 16, 16) for name in model.head.cells} | dict(rgb=perfect)
    maps = model.head.predict(features, inputs)
    torch.testing.assert_close(maps['rgb'], inputs['rgb'], atol=1e-4, rtol=1e-4)
