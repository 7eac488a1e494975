"""Baselines and ablations: each row differs from the paper's recipe in what its name says alone."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS, TRANSFORMS

import mmc2fmae  # noqa: F401

CONFIGS = Path(__file__).parents[1] / 'configs'
PAPER, MINI = 'pretrain/c2fmae_vitb_400e', 'mini/c2fmae_mini_scenes'
BASELINES = [
    *('mae_vitb_400e', 'mae_vitb_1600e'),
    *('multimae_vitb_400e', 'multimae_vitb_1600e', 'multimae_ris_vitb_400e'),
]

MASKING = 'train_dataloader.dataset.pipeline.ProgressiveMasking.'
FOLDERS = 'train_dataloader.dataset.data_prefix.'
# What a row sets; None is what it removes.
RANDOM = {MASKING + 'curriculum': 'RD'}
NO_INSTANCE = {
    'model.backbone.granularities.instance': None,
    'model.head.loss_weights.instance': None,
    FOLDERS + 'instance': None,
}
NO_SEMANTIC = {key.replace('instance', 'semantic'): None for key in NO_INSTANCE}
ROWS = {
    'masks_draw': {MASKING + 'blend': 'draw'},
    'masks_overlap': {MASKING + 'curriculum': 'SG-IG-RD-overlap'},
    'masks_cap': {MASKING + 'object_cap': 0.9},
    'masks_central': {MASKING + 'max_instances': 1, MASKING + 'prefer': 'central'},
    'table6a_147_tokens': {MASKING + 'num_visible': 147},
    'table6a_196_tokens': {MASKING + 'num_visible': 196},
    'table6b_rd': RANDOM,
    'table6b_ig': {MASKING + 'curriculum': 'IG'},
    'table6b_sg': {MASKING + 'curriculum': 'SG'},
    'table6c_ig_sg_rd': {MASKING + 'curriculum': 'IG-SG-RD'},
    'table6c_rd_ig_sg': {MASKING + 'curriculum': 'RD-IG-SG'},
    'table6d_parallel': {'model.neck.type': 'ParallelDecoder'},
    'table6d_without_ca': {'model.neck.cross_attention': False},
    'table6d_r_i_s': {'model.neck.order': ('rgb', 'instance', 'semantic')},
    'table6e_rgb': RANDOM
    | NO_INSTANCE
    | NO_SEMANTIC
    | {MASKING + 'granularities': ('rgb',), 'model.neck.order': ('rgb',)},
    'table6e_rs': RANDOM
    | NO_INSTANCE
    | {MASKING + 'granularities': ('rgb', 'semantic'), 'model.neck.order': ('semantic', 'rgb')},
    'table6e_ri': RANDOM
    | NO_SEMANTIC
    | {MASKING + 'granularities': ('rgb', 'instance'), 'model.neck.order': ('instance', 'rgb')},
    'table6f_1_1_2': {'model.head.loss_weights.rgb': 2.0},
    'table6f_1_2_1': {'model.head.loss_weights.instance': 2.0},
    'table6f_2_1_1': {'model.head.loss_weights.semantic': 2.0},
}


def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def flatten(value, path=''):
    """Return a config as {'a.b.c': value}; parts in lists go by their type."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(part, dict) for part in value):
        items = [(part.get('type', i), part) for i, part in enumerate(value)]
    else:
        return {path: value}
    return {k: v for key, part in items for k, v in flatten(part, f'{path}.{key}').items()}


def changes(base, name):
    """Return the fields that a config sets otherwise than its base; None where it has none."""
    before, after = (flatten(read(n).to_dict()) for n in (base, name))
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key.removeprefix('.'): after.get(key) for key in keys}


def below(found, expected):
    """Reduce removed fields to the expected fields above them: 'a.b.c' is removed with 'a.b'."""
    roots = [key for key, value in expected.items() if value is None]
    return {
        next((r for r in roots if value is None and key.startswith(r)), key): value
        for key, value in found.items()
    }


def build(cfg):
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    steps = cfg.train_dataloader.dataset.pipeline
    return model, {step.type: TRANSFORMS.build(step) for step in steps}


def test_every_row_has_a_paper_and_a_mini_config():
    found = {path.stem for path in (CONFIGS / 'pretrain/ablations').glob('*.py')}
    assert found == set(ROWS)
    folder = CONFIGS / 'mini/pretrain'
    mini = {path.stem for name in ('table', 'masks') for path in folder.glob(f'{name}*.py')}
    assert mini == {f'{name}_mini_scenes' for name in ROWS}


@pytest.mark.parametrize('row', ROWS)
def test_a_row_changes_what_it_says_and_nothing_else(row):
    found = changes(PAPER, f'pretrain/ablations/{row}')
    print(row, found)
    assert below(found, ROWS[row]) == ROWS[row]


@pytest.mark.parametrize('row', ROWS)
def test_a_mini_row_makes_the_same_change(row):
    found = changes(MINI, f'mini/pretrain/{row}_mini_scenes')
    print(row, found)
    # The mini config names no loss weights, so none are removed; its budget is 32 of 192 tokens.
    expected = {
        key: value
        for key, value in ROWS[row].items()
        if value is not None or 'loss_weights' not in key
    }
    if row.startswith('table6a'):
        expected[MASKING + 'num_visible'] = ROWS[row][MASKING + 'num_visible'] * 32 // 98
    assert below(found, expected) == expected


@pytest.mark.parametrize(
    'name',
    [
        *(f'pretrain/ablations/{row}' for row in ROWS),
        *(f'mini/pretrain/{row}_mini_scenes' for row in ROWS),
        *(f'pretrain/{name}' for name in BASELINES if name.startswith('multimae')),
        'mini/pretrain/multimae_mini_scenes',
    ],
)
def test_models_and_pipelines_agree(name):
    cfg = read(name)
    model, pipeline = build(cfg)
    masking = pipeline['ProgressiveMasking']
    assert list(masking.granularities) == model.backbone.granularities
    assert set(cfg.train_dataloader.dataset.data_prefix) == set(masking.granularities)
    shares = dict(table6a_147=1 / 4, table6a_196=1 / 3)
    share = shares.get(Path(name).name[:11], 1 / 6)
    # The budget is a share of three granularities, also where fewer are read.
    assert masking.num_visible == share * 3 * model.backbone.num_patches
    assert model.data_preprocessor.granularities == model.backbone.granularities


@pytest.mark.parametrize('name', [n for n in BASELINES if n.startswith('mae')])
def test_mae_masks_three_quarters_and_reads_photographs(name):
    cfg = read(f'pretrain/{name}')
    model, pipeline = build(cfg)
    assert model.backbone.mask_ratio == 0.75
    assert list(cfg.train_dataloader.dataset.data_prefix) == ['rgb']
    assert list(pipeline) == [
        *('LoadMultiGranular', 'JointRandomResizedCrop', 'JointRandomFlip', 'PackMultiGranular')
    ]
    crop = pipeline['JointRandomResizedCrop']
    assert crop.scale == (0.2, 1.0) and crop.size == 224
    assert sum(p.numel() for p in model.neck.parameters()) > 25e6  # 8 blocks of 512
    assert any(hook.type == 'KeyedRandomnessHook' for hook in cfg.custom_hooks)


@pytest.mark.parametrize('name', BASELINES)
def test_published_recipes(name):
    cfg = read(f'pretrain/{name}')
    epochs = int(name.split('_')[-1][:-1])
    base, batch = (1.5e-4, 4096) if name.startswith('mae') else (1e-4, 2048)
    optimizer = cfg.optim_wrapper.optimizer
    assert cfg.train_dataloader.batch_size * 8 == batch == cfg.auto_scale_lr.base_batch_size
    assert optimizer.lr == pytest.approx(base * batch / 256)
    assert (optimizer.type, optimizer.weight_decay) == ('AdamW', 0.05)
    assert tuple(optimizer.betas) == (0.9, 0.95)
    warmup, cosine = cfg.param_scheduler
    assert (warmup.begin, warmup.end, cosine.begin) == (0, 40, 40)
    assert cosine.end == cfg.train_cfg.max_epochs == epochs
    assert (cosine.T_max, cosine.eta_min) == (epochs - 40, 0.0)


@pytest.mark.parametrize(
    ('name', 'free'),
    [
        ('mae_vitb_400e', ()),  # only biases and norms
        ('multimae_vitb_400e', ('cls_token', 'mask_token')),
        ('multimae_ris_vitb_400e', ('cls_token', 'mask_token')),
    ],
)
def test_weight_decay_is_the_published_one(name, free):
    cfg = read(f'pretrain/{name}')
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.optim_wrapper.pop('dtype')
    cfg.optim_wrapper.optimizer.fused = False
    model, _ = build(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decays = {
        id(parameter): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            expected = 0.0 if parameter.ndim == 1 or key.endswith(free or '?') else 0.05
            assert decays[id(parameter)] == expected, key


def test_mini_baselines_have_the_budget_of_mini_c2fmae():
    base = read(MINI)
    for name in ('mae', 'multimae', *(f'{row}' for row in ROWS)):
        cfg = read(f'mini/pretrain/{name}_mini_scenes')
        for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr'):
            assert cfg[key] == base[key], (name, key)
        assert cfg.train_dataloader.batch_size == base.train_dataloader.batch_size
        assert cfg.model.backbone.arch == base.model.backbone.arch
