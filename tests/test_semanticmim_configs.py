"""SemanticMIM's configs: published numbers, and what the equal ones change."""

from math import ceil
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS

from tests.test_baseline_configs import MASKING, PAPER, build, changes, read
from tests.test_baseline_configs import MINI as MINI_C2FMAE

CONFIGS = Path(__file__).parents[1] / 'configs'
FOLDER = 'pretrain/semanticmim'
# Masked share and proxies.
SETTINGS = dict(
    maskfeat_vitb_300e=(0.4, 0),
    semanticmim_maskfeat_vitb_300e=(0.8, 8),
    semanticmim_maskfeat_vitb_300e_equal=(0.4, 1),
    semanticmim_maskfeat_vitb_300e_1_proxy=(0.8, 1),
    semanticmim_maskfeat_vitb_300e_4_proxies=(0.8, 4),
    semanticmim_maskfeat_vitb_300e_16_proxies=(0.8, 16),
    beit_vitb_300e=(0.4, 0),
    semanticmim_beit_vitb_300e=(0.6, 1),
    semanticmim_beit_vitb_300e_equal=(0.4, 1),
)
MINI = dict(
    maskfeat_mini_scenes=(0.4, 0),
    semanticmim_maskfeat_mini_scenes=(0.8, 8),
    semanticmim_maskfeat_equal_mini_scenes=(0.4, 1),
)


def test_every_config_is_listed_here():
    assert {path.stem for path in (CONFIGS / FOLDER).glob('*.py')} == set(SETTINGS)


@pytest.mark.parametrize(
    ('name', 'share', 'proxies'),
    [(f'{FOLDER}/{name}', *setting) for name, setting in SETTINGS.items()]
    + [(f'mini/pretrain/{name}', *setting) for name, setting in MINI.items()],
)
def test_proxies_and_masked_patches(name, share, proxies):
    model, pipeline = build(read(name))
    masking, vit = pipeline['ProgressiveMasking'], model.backbone
    patches = int(vit.patch_resolution[0] * vit.patch_resolution[1])
    assert masking.num_visible == patches - ceil(share * patches)
    assert masking.curriculum(0.5) == (0, 0)
    assert masking.granularities == ('rgb',)
    assert (vit.proxies, vit.num_extra_tokens) == (proxies, max(proxies, 1))


@pytest.mark.parametrize('target', ['maskfeat', 'beit'])
def test_equal_settings_differ_from_the_baseline_in_the_two_phases_alone(target):
    base, own = (f'{FOLDER}/{part}_vitb_300e' for part in (target, f'semanticmim_{target}'))
    assert changes(base, f'{own}_equal') == {'model.backbone.proxies': 1}
    assert set(changes(base, own)) == {'model.backbone.proxies', MASKING + 'num_visible'}


@pytest.mark.parametrize(
    ('target', 'rate', 'warmup', 'factor', 'floor', 'clip'),
    [('maskfeat', 1.6e-3, 30, 1e-6, 1e-6, 0.02), ('beit', 1.5e-3, 10, 1e-4, 1e-5, 3.0)],
)
def test_published_schedule(target, rate, warmup, factor, floor, clip):
    cfg = read(f'{FOLDER}/{target}_vitb_300e')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (rate, (0.9, 0.999), 0.05)
    linear, cosine = cfg.param_scheduler
    assert (linear.begin, linear.end, linear.start_factor) == (0, warmup, factor)
    assert (cosine.begin, cosine.end, cosine.T_max) == (warmup, 300, 300 - warmup)
    assert cosine.eta_min == floor
    assert cfg.optim_wrapper.clip_grad.max_norm == clip
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 2048


@pytest.mark.parametrize(
    ('target', 'without'), [('maskfeat', {'mask_token'}), ('beit', {'cls_token', 'pos_embed'})]
)
def test_which_parameters_do_not_decay(target, without):
    cfg = read(f'{FOLDER}/semanticmim_{target}_vitb_300e')
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.optim_wrapper.pop('dtype')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    spared = [p for group in groups if group['weight_decay'] == 0 for p in group['params']]
    free = {names[id(p)] for p in spared if id(p) in names}
    tall = {name for name in free if model.get_parameter(name).ndim > 1}
    assert tall == {f'backbone.{name}' for name in without}
    flat = {name for name in names.values() if model.get_parameter(name).ndim == 1}
    assert flat <= free


def test_c2fmae_with_proxies_differs_from_c2fmae_in_two_fields():
    expected = {'model.backbone.num_cls_tokens': 8, 'model.neck.proxies': True}
    assert changes(PAPER, 'pretrain/experimental/c2fmae_proxies_vitb_400e') == expected
    assert changes(MINI_C2FMAE, 'mini/pretrain/c2fmae_proxies_mini_scenes') == expected
