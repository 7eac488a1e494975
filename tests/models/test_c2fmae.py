import pytest
import torch
from mmengine.optim import OptimWrapper

from tests.models.conftest import make_batch

SUBSETS = [('rgb',), ('rgb', 'semantic'), ('rgb', 'instance'), ('rgb', 'instance', 'semantic')]


@pytest.mark.parametrize('names', SUBSETS)
@pytest.mark.parametrize('kind', ['CascadedDecoder', 'ParallelDecoder'])
def test_any_subset_of_granularities_trains(config, build, names, kind):
    granularities = config['backbone']['granularities']
    config['backbone']['granularities'] = {g: granularities[g] for g in names if g != 'rgb'}
    config['neck'].update(type=kind, order=names[::-1])
    model = build(config)
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    log = [model.train_step(make_batch(names=names), wrapper) for _ in range(8)]
    assert set(log[0]) == {'loss', *(f'loss_{g}' for g in names)}
    assert log[-1]['loss'] < log[0]['loss']


def test_total_loss_is_the_sum_of_the_logged_losses(config, build):
    model = build(config)
    losses = model(**model.data_preprocessor(make_batch()), mode='loss')
    total, log = model.parse_losses(losses)
    assert total.item() == pytest.approx(sum(v.item() for v in losses.values()))
    assert list(log) == ['loss', 'loss_rgb', 'loss_instance', 'loss_semantic']


def test_every_trainable_parameter_has_a_gradient(config, build):
    model = build(config)
    sum(model(**model.data_preprocessor(make_batch()), mode='loss').values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_compiled_model_equals_eager_and_compiles_once(config, build):
    compiled = []

    def backend(graph, example_inputs):
        compiled.append(graph)
        return graph.forward

    eager = build(config)
    config['compile'] = dict(backend=backend)
    model = build(config)
    for seed in range(4):  # masks differ, so the ragged parts have other lengths
        batch = make_batch(seed=seed)
        got = model(**model.data_preprocessor(batch), mode='loss')
        expected = eager(**eager.data_preprocessor(batch), mode='loss')
        for name in got:
            torch.testing.assert_close(got[name], expected[name])
    assert len(compiled) == 1


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision_stays_near_fp32(config, build, dtype):
    model = build(config)
    prepared = model.data_preprocessor(make_batch())
    expected = model(**prepared, mode='loss')
    with torch.autocast('cpu', dtype=dtype):
        found = model(**prepared, mode='loss')
    sum(found.values()).backward()
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected[name].item(), rel=0.02)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_unknown_class_ids_name_sample_value_and_field(config, build):
    model = build(config)
    batch = make_batch() | dict(path=['a.jpg', 'b.jpg', 'c.jpg'])
    batch['inputs']['semantic'][1, 0, 0] = 77
    with pytest.raises(ValueError, match=r'semantic map of b\.jpg has class id 77.*0 to 8'):
        model.data_preprocessor(batch)


def test_missing_granularity_is_named(config, build):
    model = build(config)
    with pytest.raises(ValueError, match=r"also reads \['semantic'\]"):
        model.data_preprocessor(make_batch(names=('rgb', 'instance')))


def test_reconstruction_covers_all_granularities(config, build):
    model = build(config).eval()
    maps = model.reconstruct(make_batch())
    assert maps['rgb'].shape == (3, 3, 32, 32)
    assert maps['rgb'].min() >= 0 and maps['rgb'].max() <= 255
    assert maps['semantic'].shape == (3, 16, 16) and maps['semantic'].max() < 9


def test_features_are_a_plain_vits(config, build):
    model = build(config).eval()
    batch = make_batch()
    batch.pop('masks')
    prepared = model.data_preprocessor(batch)
    assert model(**prepared, mode='tensor')[0].shape == (3, 24)
