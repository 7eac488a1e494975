"""What a plan costs: time from counted operations and what was measured, disk from parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models import MAE
from torch.utils.flop_counter import FlopCounterMode

from mmc2fmae.configs import training_length
from mmc2fmae.models import MultiGranularClassifier, SemanticMIM
from mmc2fmae.reproduce import configs
from mmc2fmae.reproduce.plan import Plan
from mmc2fmae.reproduce.stage import Stage

BYTES = 12  # of a checkpoint, a parameter: weights and both moments of AdamW, fp32


@dataclass(frozen=True)
class Cost:
    """The bill of a stage.

    Attributes:
        seconds: Wall time on all devices together.
        measured: Whether the time is scaled by what was measured on this machine.
        disk: Bytes that it leaves.
    """

    seconds: float
    measured: bool
    disk: int


@dataclass(frozen=True)
class Machine:
    """What the time is counted for.

    Attributes:
        devices: Devices that work on one stage.
        tflops: TFLOP/s that each reaches.
        startup: Seconds until a tool does its first step.
    """

    devices: int
    tflops: float
    startup: float


def estimate(plan: Plan, machine: Machine, measured: Mapping[str, float]) -> dict[str, Cost]:
    """Estimate every stage of a plan.

    A stage that ran gives the ratio of measured to counted time of its kind and task, which then
    replaces the assumption behind ``machine.tflops`` for the others of that kind.

    Args:
        plan: The plan.
        machine: The assumption.
        measured: Key of a finished stage to its wall time in s.

    Returns:
        Key of a stage to its cost.
    """
    counted = {key: _count(stage, plan) for key, stage in plan.stages.items()}
    speed = machine.devices * machine.tflops * 1e12
    seconds = {key: machine.startup + flops / speed for key, (flops, _) in counted.items()}
    sums: dict[str, list[float]] = {}
    for key in measured.keys() & seconds.keys():
        both = sums.setdefault(plan.stages[key].subject, [0.0, 0.0])
        both[0] += measured[key]
        both[1] += seconds[key]
    costs = {}
    for key, stage in plan.stages.items():
        real, guess = sums.get(stage.subject, (0.0, 0.0))
        factor = real / guess if guess else 1.0
        value = measured.get(key, seconds[key] * factor) if stage.kind != 'bring' else 0.0
        costs[key] = Cost(value, bool(guess), counted[key][1])
    return costs


def _count(stage: Stage, plan: Plan) -> tuple[float, int]:
    """Return a stage's operations and the bytes that it leaves."""
    if stage.kind in ('bring', 'scenes'):
        return 0.0, 0
    if stage.upstream is not None and not stage.trains:  # evaluates what its upstream trained
        forward, _ = count_model(stage.upstream.load_config())
        return forward * stage.images, 0
    cfg = stage.load_config()
    forward, parameters = count_model(cfg)
    images = seen_images(cfg, _epoch_images(stage, cfg, plan))
    # The backward pass costs twice the forward pass.
    flops = 3 * forward * images
    if stage.protocol:
        flops += forward * stage.protocol.images * validations(cfg)
    kept = cfg.default_hooks.checkpoint.get('max_keep_ckpts', 1)
    return flops, BYTES * parameters * max(kept, 1)


def _epoch_images(stage: Stage, cfg: Config, plan: Plan) -> int:
    if stage.protocol:
        whole = stage.protocol.train_images
    else:
        folder = Path(cfg.train_dataloader.dataset.get('data_root') or '').name
        counts = plan.preset.pretrain_images  # of a table's own data the largest is assumed
        whole = counts.get(folder, max(counts.values()))
    return min(whole, cfg.train_dataloader.dataset.get('indices') or whole)


def seen_images(cfg: Config, epoch: int) -> int:
    """Return the images that a training sees, repetitions included.

    Args:
        cfg: Its config.
        epoch: Images of one epoch.
    """
    unit, length = training_length(cfg)
    return length * int(cfg.auto_scale_lr.base_batch_size if unit == 'iter' else epoch)


def validations(cfg: Config) -> int:
    """Return how often a training validates."""
    _, length = training_length(cfg)
    return max(length // int(cfg.train_cfg.get('val_interval', 1)), 1)


def count_model(cfg: Config) -> tuple[float, int]:
    """Count a model's operations for one training image (forward) and its parameters.

    A multiplication and an addition count one each, in matrix products, attention and convolutions
    alone. Nothing is computed: the model is built on the meta device.

    Args:
        cfg: Config of a pre-training, classifier, detector or segmenter.

    Returns:
        Operations and number of parameters.
    """
    masking = [t for t in _pipeline(cfg) if t['type'] == 'ProgressiveMasking']
    visible = masking[0]['num_visible'] if masking else 0
    size = image_size(cfg)
    key = configs.digest_of([cfg.model, visible, size])
    if key not in _counted:
        scope = cfg.get('default_scope', 'mmpretrain')
        with DefaultScope.overwrite_default_scope(scope), torch.device('meta'), torch.no_grad():
            model = MODELS.build(ConfigDict(_without_init(cfg.model.to_dict()))).eval()
            with FlopCounterMode(display=False) as counter:
                _forward(model, visible, size, cfg)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        _counted[key] = float(counter.get_total_flops()), parameters
    return _counted[key]


_counted: dict[str, tuple[float, int]] = {}


def image_size(cfg: Config) -> tuple[int, int]:
    """Return the height and width of a training image; of several scales the middle one, at 3:4."""
    preprocessor = cfg.model.get('data_preprocessor') or {}
    if preprocessor.get('size'):
        return tuple(preprocessor['size'])
    for step in _pipeline(cfg):
        if step['type'] == 'RandomChoiceResize':
            short = sorted(min(scale) for scale in step['scales'])[len(step['scales']) // 2]
            return short, int(short * 4 / 3) // 32 * 32
    size = cfg.model.backbone.img_size
    return size, size


def _pipeline(cfg: Config) -> list[dict[str, Any]]:
    return list(cfg.train_dataloader.dataset.pipeline)


def _without_init(spec: Any) -> Any:
    """Drop what would draw or read weights."""
    if isinstance(spec, dict):
        return {k: _without_init(v) for k, v in spec.items() if k not in ('init_cfg', 'compile')}
    return [_without_init(v) for v in spec] if isinstance(spec, list) else spec


def _forward(model: BaseModel, visible: int, size: tuple[int, int], cfg: Config) -> None:
    """Send one image, or as many tokens as training sees of one, through all large parts."""
    encoder = model.backbone
    if hasattr(model, 'autoencode'):
        positions = torch.zeros(1, visible, dtype=torch.long)
        model.autoencode(torch.zeros(1, visible, encoder.embed_dims), positions)
        return
    if isinstance(model, SemanticMIM):  # the target costs a forward pass alone: it is left out
        masked = prod(encoder.patch_resolution) - visible
        model.predict(*(torch.zeros(1, n, encoder.embed_dims) for n in (visible, masked)))
        return
    if isinstance(model, MAE):
        latent, _, restore = encoder(torch.zeros(1, 3, *size), mask=True)
        model.neck(latent, restore)
        return
    if isinstance(model, MultiGranularClassifier):
        tokens = len(encoder.granularities) * encoder.num_patches
        encoder.encode(torch.zeros(1, tokens, encoder.embed_dims))
        return
    features = encoder(torch.zeros(1, 3, *size))
    if model.with_neck:
        features = model.neck(features)
    for name in ('rpn_head', 'decode_head', 'auxiliary_head'):
        if getattr(model, name, None) is not None:
            getattr(model, name)(features)
    if hasattr(model, 'roi_head'):
        sampler = cfg.model.train_cfg.rcnn.sampler
        channels = features[0].shape[1]
        model.roi_head.bbox_head(torch.zeros(sampler.num, channels, 7, 7))
        positive = int(sampler.num * sampler.pos_fraction)
        model.roi_head.mask_head(torch.zeros(positive, channels, 14, 14))
