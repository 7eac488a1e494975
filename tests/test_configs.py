"""The configs build, and the paper's recipe is what they hold."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS, TRANSFORMS
from timm.models import VisionTransformer

import mmc2fmae  # noqa: F401

CONFIGS = Path(__file__).parents[1] / 'configs'
MINI = [CONFIGS / 'mini/c2fmae_mini_scenes.py', CONFIGS / 'mini/demo.py']
PRETRAIN = [*sorted(CONFIGS.glob('pretrain/c2fmae_*.py')), *MINI]


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('path', PRETRAIN, ids=lambda path: path.stem)
def test_every_config_builds_its_model_and_pipeline(path):
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    pipeline = {step.type: TRANSFORMS.build(step) for step in cfg.train_dataloader.dataset.pipeline}
    masking = pipeline['ProgressiveMasking']
    assert list(masking.granularities) == model.backbone.granularities
    # 1/6 of all tokens is visible (D1).
    assert masking.num_visible * 6 == model.backbone.num_patches * 3
    # The schedule ends with the training, warm-up included.
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_epochs
    assert cfg.param_scheduler[1].T_max == cfg.param_scheduler[1].end - cfg.param_scheduler[0].end


@pytest.mark.parametrize(
    ('name', 'dims', 'depth', 'heads'),
    [
        ('c2fmae_vits_400e', 384, 12, 6),
        ('c2fmae_vitb_400e', 768, 12, 12),
        ('c2fmae_vitl_400e', 1024, 24, 16),
        ('c2fmae_vith_400e', 1280, 32, 16),
    ],
)
def test_encoders_have_the_usual_sizes(name, dims, depth, heads):
    cfg = Config.fromfile(CONFIGS / f'pretrain/{name}.py')
    with torch.device('meta'):
        backbone = MODELS.build(cfg.model.backbone)
        reference = VisionTransformer(embed_dim=dims, depth=depth, num_heads=heads, num_classes=0)
    assert count(backbone) - count(backbone.label_embeds) == count(reference)
    assert backbone.layers[0].attn.num_heads == heads


@pytest.mark.parametrize('epochs', [400, 1600])
def test_paper_recipe(epochs):
    """Section IV-A, number by number."""
    cfg = Config.fromfile(CONFIGS / f'pretrain/c2fmae_vitb_{epochs}e.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.train_dataloader.batch_size * 8 == 2048
    assert optimizer.type == 'AdamW'
    assert optimizer.lr == pytest.approx(1e-4 * 2048 / 256)
    assert optimizer.weight_decay == 0.05
    assert tuple(optimizer.betas) == (0.9, 0.95)
    warmup, cosine = cfg.param_scheduler
    assert (warmup.begin, warmup.end) == (0, 40)
    assert (cosine.type, cosine.begin, cosine.end) == ('CosineAnnealingLR', 40, epochs)
    assert (cfg.model.neck.dims, cfg.model.neck.num_heads, cfg.model.neck.depth) == (256, 8, 2)
    assert cfg.model.neck.order == ('semantic', 'instance', 'rgb')
    assert set(cfg.model.head.loss_weights.values()) == {1.0}


def test_no_decay_on_biases_norms_tokens_and_positions():
    from mmengine.optim import build_optim_wrapper

    cfg = Config.fromfile(CONFIGS / 'pretrain/c2fmae_vitb_400e.py')
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.optim_wrapper.pop('dtype')
    cfg.model.backbone.arch = dict(
        embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48
    )
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decays = {
        id(parameter): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        free = parameter.ndim == 1 or name.endswith(('token', 'granularity_embed'))
        assert decays[id(parameter)] == (0.0 if free else 0.05), name
