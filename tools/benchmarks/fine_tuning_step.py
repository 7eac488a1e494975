"""Time fine-tuning steps beside those of timm, MMSegmentation and MMDetection at the same work.

Classification: the model and recipe of configs/cls/vitb_ft_100e.py against timm's ViT-B/16 with
timm's mixup, layer-wise decay and soft targets. Segmentation and detection: our configs against the
same heads on MMSegmentation's own VisionTransformer and on mmpretrain's, which is how MMDetection
takes a ViT, with one learning rate (their layer-wise decay does not know these encoders). Random
images of the same sizes, fp32; steps alternate A B A B, seconds are of the processor, the ratio is
taken pair by pair.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import Tensor

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.benchmark.batches import fine_tuning_batch
from mmc2fmae.benchmark.public import MEAN, STD
from mmc2fmae.benchmark.steps import TrainingStep, read_config
from mmc2fmae.benchmark.timing import alternate, ratio
from mmc2fmae.env import collect

CPU = torch.device('cpu')
ALPHA = dict(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1)  # of vitb_classifier.py


def timm_step(cfg: Config) -> Callable[[dict[str, Any]], Tensor]:
    """Return the step of timm's ViT-B/16 with the recipe of a classification config."""
    import timm
    from timm.data import Mixup
    from timm.loss import SoftTargetCrossEntropy
    from timm.optim import param_groups_layer_decay

    classes = cfg.model.head.num_classes
    drop_path = cfg.model.backbone.drop_path_rate
    model = timm.create_model(
        'vit_base_patch16_224', num_classes=classes, global_pool='avg', drop_path_rate=drop_path
    ).train()
    optim = cfg.optim_wrapper
    decay = optim.optimizer.weight_decay
    groups = param_groups_layer_decay(
        model, weight_decay=decay, layer_decay=optim.paramwise_cfg.layer_decay
    )
    for group in groups:
        group['lr'] = optim.optimizer.lr * group.pop('lr_scale')
    optimizer = torch.optim.AdamW(groups, betas=tuple(optim.optimizer.betas), fused=True)
    mixup, criterion = Mixup(**ALPHA, num_classes=classes), SoftTargetCrossEntropy()
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)

    def step(batch: dict[str, Any]) -> Tensor:
        images = (batch['inputs'].float() - mean) / std
        labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
        images, targets = mixup(images, labels)
        loss: Tensor = criterion(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def framework_step(cfg: Config, backbone: dict) -> TrainingStep:
    """Return the step of a config with the framework's own encoder, and one rate for all."""
    cfg = Config(cfg.to_dict())
    ours = cfg.model.backbone
    cfg.model.backbone = dict(
        img_size=ours.img_size,
        patch_size=ours.patch_size,
        drop_path_rate=ours.drop_path_rate,
        out_indices=ours.out_indices,
        **backbone,
    )
    del cfg.optim_wrapper['constructor'], cfg.optim_wrapper['paramwise_cfg']
    return TrainingStep(cfg, CPU)


def sides(name: str, batch: int, size: int) -> dict[str, Callable[[], object]]:
    """Return our step and the other's of a task, on the same random images."""
    config, _, other = TASKS[name]
    cfg = read_config(f'mmc2fmae::{config}')
    cfg.optim_wrapper.optimizer.lr = 0.0  # weights stay, so proposals do, and cost the same
    if cfg.model.data_preprocessor.get('size'):  # which images are padded to
        cfg.model.data_preprocessor.size = (size, size)
    ours = TrainingStep(cfg, CPU)
    theirs = framework_step(cfg, other) if other else timm_step(cfg)
    if isinstance(theirs, TrainingStep):  # as many of the proposals are objects
        theirs.model.load_state_dict(ours.model.state_dict(), strict=False)
    drawn = fine_tuning_batch(cfg, batch, (size, size))
    return dict(ours=_seeded(ours, drawn), theirs=_seeded(theirs, drawn))


def _seeded(step: Callable[[dict], object], batch: dict[str, Any]) -> Callable[[], object]:
    """Give every round of both sides the same seed: dropped paths and sampled boxes cost time."""
    seeds = itertools.count()

    def run() -> object:
        torch.manual_seed(next(seeds))
        return step(batch)

    return run


# Config, images and side in pixels that a CPU core bears, and the other side's encoder (a ViT-B by
# its other defaults).
TASKS: dict[str, tuple[str, tuple[int, int], dict | None]] = {
    'classification': ('cls/vitb_ft_100e.py', (8, 224), None),
    'segmentation': (
        'seg/upernet_vitb_160k_ade20k.py',
        (2, 128),
        dict(type='mmseg.VisionTransformer', num_layers=12),
    ),
    'detection': (
        'det/mask_rcnn_vitb_1x_coco.py',
        (1, 256),
        dict(
            type='mmpretrain.VisionTransformer', arch='base', out_type='featmap', final_norm=False
        ),
    ),
}


def main() -> None:
    """Time the steps and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
    parser.add_argument('--batch', type=int, help='images, in place of the sizes of a CPU')
    parser.add_argument('--size', type=int, help='side in pixels, in place of those')
    parser.add_argument('--steps', type=int, default=7)
    parser.add_argument('--json', type=Path, help='file for all figures')
    args = parser.parse_args()
    MMLogger.get_instance('benchmark', log_level='WARNING')
    record = collect()
    print(f'commit {record["commit"]}, torch {record["versions"]["torch"]}, {record["hardware"]}')
    result: dict[str, Any] = dict(record=record, arguments=vars(args), tasks={})
    for name in args.tasks:
        batch, size = args.batch or TASKS[name][1][0], args.size or TASKS[name][1][1]
        times = alternate(
            sides(name, batch, size),
            CPU,
            warm_up=1,
            steps=1,
            rounds=args.steps,
            clock=time.process_time,
        )
        middle, low, high = ratio(times['ours'], times['theirs'])
        ours, theirs = (statistics.median(times[side]) for side in ('ours', 'theirs'))
        print(
            f'{name}, {batch} x {size} x {size}: ours {ours:.2f} s, theirs {theirs:.2f} s, ratio '
            f'{middle:.3f} ({low:.3f} to {high:.3f})',
            flush=True,
        )
        result['tasks'][name] = dict(batch=batch, size=size, seconds=times)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2, default=str))


if __name__ == '__main__':
    main()
