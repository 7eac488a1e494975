"""Eq. 2 to 4: what flows from stage to stage, and what does not."""

import pytest
import torch

from mmc2fmae.models.decoders import CascadedDecoder, add_at
from tests.models.conftest import make_batch


def decoder(kind=CascadedDecoder, **options):
    torch.manual_seed(0)
    neck = kind(num_patches=4, in_dims=8, dims=16, num_heads=2, depth=1, **options)
    neck.init_weights()
    return neck


def stage_gradients(model, batch, loss_name):
    model.zero_grad()
    model(**model.data_preprocessor(batch), mode='loss')[loss_name].backward()
    return {
        name: sum(p.grad.abs().sum().item() for p in stage.parameters() if p.grad is not None)
        for name, stage in model.neck.stages.items()
    }


def test_features_are_added_at_their_granularity_only():
    parts = [torch.zeros(1, 2, 2)] * 3
    added = add_at(parts, 2, torch.ones(1, 2, 2))
    assert added[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1]


def test_changing_f1_changes_the_next_context_at_semantic_positions_only():
    neck = decoder()
    sequence = torch.randn(2, 12, 16)
    parts = sequence.split(4, dim=1)
    f1 = torch.randn(2, 4, 16)
    before = neck.context(sequence, parts, 'semantic', f1)
    after = neck.context(sequence, parts, 'semantic', f1 + 1)
    changed = (before != after).any(-1).all(0)
    # The sequence is rgb 0-3, instance 4-7, semantic 8-11.
    assert changed.tolist() == [False] * 8 + [True] * 4
    torch.testing.assert_close(after[:, 8:], sequence[:, 8:] + (f1 + 1))


def test_first_stage_sees_the_plain_sequence():
    sequence = torch.randn(2, 12, 16)
    assert decoder().context(sequence, sequence.split(4, dim=1), None, None) is sequence


def test_sequence_holds_encoded_tokens_at_visible_positions_and_mask_tokens_elsewhere():
    neck = decoder()
    encoded = torch.randn(1, 2, 8)
    sequence = neck.full_sequence(encoded, torch.tensor([[1, 10]]))
    plain = sequence - (neck.pos_embed + neck.granularity_embed).flatten(0, 1)
    torch.testing.assert_close(plain[0, [1, 10]], neck.projection(encoded)[0])
    others = [i for i in range(12) if i not in (1, 10)]
    torch.testing.assert_close(plain[0, others], neck.mask_token[0].expand(10, -1))


def test_rgb_loss_reaches_the_stages_before_it_in_the_cascade(config, build):
    model = build(config)
    grads = stage_gradients(model, make_batch(), 'loss_rgb')
    assert all(value > 0 for value in grads.values())
    grads = stage_gradients(model, make_batch(), 'loss_semantic')
    assert grads['semantic'] > 0 and grads['instance'] == 0 and grads['rgb'] == 0


def test_rgb_loss_stays_in_its_stage_in_the_parallel_decoder(config, build):
    config['neck']['type'] = 'ParallelDecoder'
    grads = stage_gradients(build(config), make_batch(), 'loss_rgb')
    assert grads['rgb'] > 0 and grads['semantic'] == 0 and grads['instance'] == 0


def test_reversed_order_turns_the_flow_around(config, build):
    config['neck']['order'] = ('rgb', 'instance', 'semantic')
    model = build(config)
    assert all(v > 0 for v in stage_gradients(model, make_batch(), 'loss_semantic').values())
    grads = stage_gradients(model, make_batch(), 'loss_rgb')
    assert grads['rgb'] > 0 and grads['semantic'] == 0 and grads['instance'] == 0


def test_without_cross_attention_granularities_do_not_mix(config, build):
    config['neck']['cross_attention'] = False
    model = build(config)
    grads = stage_gradients(model, make_batch(), 'loss_rgb')
    assert grads['rgb'] > 0 and grads['semantic'] == 0 and grads['instance'] == 0
    assert not any('cross_attn' in name for name, _ in model.named_parameters())


def test_cascade_and_parallel_have_the_same_parameters(config, build):
    cascaded = build(config)
    config['neck']['type'] = 'ParallelDecoder'
    parallel = build(config)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (cascaded, parallel)]
    assert shapes[0] == shapes[1]


def test_order_must_name_every_granularity_once():
    with pytest.raises(ValueError, match=r"order \['rgb'\]: expected each of \['rgb', 'instance'"):
        decoder(order=('rgb',))
