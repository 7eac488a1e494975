"""Counted operations and estimates."""

import pytest
import torch
from mmengine.config import Config

from mmc2fmae.configs import ROOT
from mmc2fmae.reproduce import configs
from mmc2fmae.reproduce.cost import Cost, Machine, count_model, estimate, image_size, seen_images
from mmc2fmae.reproduce.plan import make_plan
from mmc2fmae.reproduce.table_files import load_suite, load_tables, pick_rows


def read(name):
    return configs.read_config(ROOT / f'configs/{name}.py')


def block(tokens, dims):
    """Operations of a ViT block by hand: 12 d^2 weights and two products of tokens by tokens."""
    return 2 * tokens * 12 * dims**2 + 2 * 2 * tokens**2 * dims


def test_an_encoder_is_counted_as_by_hand():
    forward, parameters = count_model(read('cls/vitb_ft_100e'))
    embedding = 2 * 196 * 768 * 768
    assert forward == 12 * block(197, 768) + embedding
    assert parameters == pytest.approx(86.57e6, rel=1e-3)


def test_mae_is_counted_as_by_hand():
    forward, _ = count_model(read('pretrain/mae_vitb_400e'))
    encoder = 2 * 196 * 768 * 768 + 12 * block(50, 768)
    decoder = 2 * 50 * 768 * 512 + 8 * block(197, 512) + 2 * 197 * 512 * 768
    assert forward == encoder + decoder


def test_semanticmim_is_counted_with_both_phases():
    name = 'pretrain/semanticmim/{}maskfeat_vitb_300e{}'
    baseline, _ = count_model(read(name.format('', '')))
    dims, head = 768, 2 * 108 * 768
    assert baseline == 12 * block(197, dims) + 79 * head
    proxies, masked, visible = 8, 157, 39
    published, _ = count_model(read(name.format('semanticmim_', '')))
    # Output and MLP of mask tokens; the fused product gives proxies queries, too.
    weights = 2 * (masked * 9 + (proxies + masked) * 3) * dims**2
    reconstruct = weights + 2 * 2 * masked * (proxies + masked) * dims
    assert published == 12 * (block(proxies + visible, dims) + reconstruct) + masked * head


def test_pre_training_counts_visible_tokens_alone():
    few, many = (count_model(read(f'mini/{name}'))[0] for name in (
        'c2fmae_mini_scenes', 'pretrain/table6a_196_tokens_mini_scenes'))  # fmt: skip
    more = 6 * (block(65, 192) - block(33, 192))  # 64 visible tokens instead of 32, class token
    assert many - few == pytest.approx(more, rel=0.05)  # the decoder's projection, too


def test_detector_and_segmenter_are_counted_with_their_heads():
    detector, _ = count_model(read('det/mask_rcnn_vitb_1x_coco'))
    segmenter, _ = count_model(read('seg/upernet_vitb_160k_ade20k'))
    assert image_size(read('det/mask_rcnn_vitb_1x_coco')) == (640, 832)
    assert detector > 12 * block(40 * 52 + 1, 768)
    assert segmenter > 12 * block(32 * 32 + 1, 768)


def test_nothing_is_allocated():
    with torch.device('meta'):
        count_model(read('pretrain/c2fmae_vith_400e'))


def test_images_of_a_training():
    by_epoch = Config(dict(train_cfg=dict(max_epochs=3), auto_scale_lr=dict(base_batch_size=4)))
    by_iteration = Config(dict(train_cfg=dict(max_iters=5), auto_scale_lr=dict(base_batch_size=4)))
    assert (seen_images(by_epoch, 10), seen_images(by_iteration, 10)) == (30, 20)


def test_what_was_measured_replaces_the_assumption():
    tables, suite = load_tables(['table1'], load_suite())
    rows = pick_rows(tables, ['mae-400e', 'c2fmae-400e'])
    plan = make_plan(tables, rows, suite, suite.presets['mini'], [0])
    key = next(k for k in plan.stages if k.startswith('pretrain-mae'))
    other = next(k for k in plan.stages if k.startswith('pretrain-c2f'))
    tuned = next(k for k in plan.stages if k.startswith('finetune'))
    machine = Machine(devices=1, tflops=0.1, startup=0)
    before = estimate(plan, machine, {})
    forward, parameters = count_model(plan.stages[key].load_config())
    assert before[key] == Cost(3 * forward * 6 * 6000 / 1e11, False, 2 * 12 * parameters)
    half = estimate(plan, Machine(2, 0.1, 0), {})
    assert half[key].seconds == pytest.approx(before[key].seconds / 2)
    after = estimate(plan, machine, {key: 10 * before[key].seconds})
    assert after[key].seconds == 10 * before[key].seconds
    assert (
        after[other].seconds == pytest.approx(10 * before[other].seconds) and after[other].measured
    )
    assert after[tuned] == before[tuned]


def test_an_evaluation_costs_a_forward_pass_an_image_and_leaves_nothing():
    tables, suite = load_tables(['table1'], load_suite())
    rows = pick_rows(tables, ['mae-400e'])
    plan = make_plan(tables, rows, suite, suite.presets['mini'], [0], predictions=True)
    (stage,) = (s for s in plan.stages.values() if s.kind == 'predictions')
    forward, _ = count_model(stage.upstream.load_config())
    cost = estimate(plan, Machine(devices=1, tflops=0.1, startup=0), {})[stage.key]
    assert cost == Cost(forward * stage.upstream.protocol.images / 1e11, False, 0)
