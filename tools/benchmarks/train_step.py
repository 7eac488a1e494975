"""Time the training step, alone or alternating with the public code of a baseline.

The other side is a checkout that is not part of this project. --multimae, EPFL-VILAB/MultiMAE:
three granularities, rgb and two label maps at stride 4. --semanticmim, yyk-wew/SemanticMIM:
MaskFeat with 8 proxies, 80 % masked. Either way the same visible tokens, the same losses on masked
patches, AdamW, fp32; steps alternate A B A B, the ratio is taken pair by pair.
"""

import argparse
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.logging import MMLogger

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.env import collect

CONFIGS = Path(__file__).parents[2] / 'configs/pretrain'
CONFIG = CONFIGS / 'c2fmae_vitb_1600e.py'
SEMANTICMIM = CONFIGS / 'semanticmim/semanticmim_maskfeat_vitb_300e.py'
CLASSES = dict(instance=134, semantic=133)
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def make_batches(
    batch: int, count: int, names: Sequence[str] = ('rgb', *CLASSES), number: int = 98
) -> list[dict]:
    """Draw random images, label maps and masks; ``number`` tokens of all are visible."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(count):
        shares = torch._sample_dirichlet(torch.ones(batch, len(names)), generator=generator)
        samples = []
        for share in shares:
            visible = (share * number).floor().long()
            visible[0] += number - visible.sum()
            masks = {}
            for name, v in zip(names, visible.tolist(), strict=True):
                mask = torch.ones(196, dtype=torch.bool)
                mask[torch.randperm(196, generator=generator)[:v]] = False
                masks[name] = mask
            inputs = dict(
                rgb=torch.randint(0, 256, (3, 224, 224), generator=generator, dtype=torch.uint8)
            )
            for name in names[1:]:
                inputs[name] = torch.randint(
                    0, CLASSES[name], (56, 56), generator=generator, dtype=torch.uint8
                )
            samples.append(dict(inputs=inputs, masks=masks))
        batches.append(default_collate(samples))
    return batches


def our_step(config: Path, arch: str, compile_model: bool) -> Callable[[dict], None]:
    """Build the model of a config and return a function that trains on one batch."""
    from mmpretrain.registry import MODELS

    cfg = Config.fromfile(config)
    for name, spec in cfg.model.backbone.get('granularities', {}).items():
        spec.num_classes = CLASSES[name]
    cfg.model.backbone.arch = arch
    cfg.model.compile = compile_model
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), fused=True)

    def step(batch: dict) -> None:
        loss = sum(model(**model.data_preprocessor(batch), mode='loss').values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def multimae_model(checkout: Path) -> tuple[torch.nn.Module, dict[str, torch.nn.Module]]:
    """Build MultiMAE and its losses from a checkout, for the granularities and widths of ours."""
    stub = types.ModuleType('torch._six')
    stub.inf, stub.string_classes = float('inf'), (str,)
    sys.modules['torch._six'] = stub
    sys.path.insert(0, str(checkout))
    from multimae import criterion, input_adapters, multimae, output_adapters

    inputs = dict(rgb=input_adapters.PatchedInputAdapter(3, 1, 16))
    losses = dict(rgb=criterion.MaskedMSELoss(patch_size=16, stride=1, norm_pix=True))
    for name, classes in CLASSES.items():
        inputs[name] = input_adapters.SemSegInputAdapter(classes, 4, 16)
        losses[name] = criterion.MaskedCrossEntropyLoss(patch_size=16, stride=4)
    outputs = {
        name: output_adapters.SpatialOutputAdapter(
            num_channels=CLASSES.get(name, 3),
            stride_level=4 if name in CLASSES else 1,
            patch_size_full=16,
            dim_tokens=256,
            depth=2,
            num_heads=8,
            task=name,
            context_tasks=list(inputs),
        )
        for name in inputs
    }
    model = multimae.MultiMAE(
        input_adapters=inputs,
        output_adapters=outputs,
        num_global_tokens=1,
        dim_tokens=768,
        depth=12,
        num_heads=12,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    return model.train(), losses


def multimae_step(checkout: Path) -> Callable[[dict], None]:
    """Build MultiMAE from its checkout and return a function that trains on one batch."""
    model, losses = multimae_model(checkout)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95))

    def step(batch: dict) -> None:
        inputs = {name: batch['inputs'][name].long() for name in CLASSES}
        inputs = dict(rgb=(batch['inputs']['rgb'].float() - MEAN) / STD, **inputs)
        masks = {name: batch['masks'][name].long() for name in losses}
        order = torch.cat(list(masks.values()), dim=1).argsort(dim=1, stable=True)
        # Masks passed in are taken for one image (all tokens would be encoded for a batch), so ours
        # replace its random ones, drawing excluded from its time.
        drawn = (masks, order[:, :98], order.argsort(dim=1))
        model.generate_random_masks = lambda *args, **kwargs: drawn
        predictions, used = model(inputs, num_encoded_tokens=98)
        loss = sum(losses[n](predictions[n].float(), inputs[n], mask=used[n]) for n in losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def semanticmim_step(checkout: Path, arch: str) -> Callable[[dict], None]:
    """Build SemanticMIM from its checkout and return a function that trains on one batch."""
    sys.path.insert(0, str(checkout))
    from maskfeat import maskfeat
    from mmpretrain.structures import DataSample

    width = maskfeat.MaskFeatViTOurs.arch_zoo[arch]['embed_dims']

    model = maskfeat.MaskFeatOurs(
        backbone=dict(
            type='MaskFeatViTOurs', arch=arch, patch_size=16, num_cls_tokens=8, use_bottleneck=True
        ),
        neck=dict(type='LinearNeck', in_channels=width, out_channels=108, norm_cfg=None),
        head=dict(type='MIMHead', loss=dict(type='PixelReconstructionLoss', criterion='L2')),
        target_generator=dict(type='HOGGenerator', nbins=9, pool=8, gaussian_window=16),
    )
    model.init_weights()
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.999))

    def step(batch: dict) -> None:
        samples = []
        for mask in batch['masks']['rgb'].view(-1, 14, 14):
            samples.append(DataSample())
            samples[-1].img_index, samples[-1].mask_index = 1.0 - mask.float(), mask.long()
        loss = model((batch['inputs']['rgb'].float() - MEAN) / STD, samples, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Time the steps and print medians and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument('--multimae', type=Path, help='checkout of EPFL-VILAB/MultiMAE')
    other.add_argument('--semanticmim', type=Path, help='checkout of yyk-wew/SemanticMIM')
    parser.add_argument('--arch', default='base', help='deit-small, base or large')
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--steps', type=int, default=7)
    parser.add_argument('--compile', action='store_true')
    args = parser.parse_args()
    if args.multimae and args.arch != 'base':
        parser.error('--arch: the side of MultiMAE is a ViT-B')
    MMLogger.get_instance('benchmark', log_level='WARNING')
    sides = dict(
        ours=our_step(SEMANTICMIM if args.semanticmim else CONFIG, args.arch, args.compile)
    )
    batches = make_batches(args.batch, args.steps + 1)
    if args.multimae:
        sides['theirs'] = multimae_step(args.multimae)
    elif args.semanticmim:
        sides['theirs'] = semanticmim_step(args.semanticmim, args.arch)
        batches = make_batches(args.batch, args.steps + 1, ('rgb',), 39)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for i, batch in enumerate(batches):
        for name, step in sides.items():
            start = time.perf_counter()
            step(batch)
            if i:  # the first step of each warms up
                times[name].append(time.perf_counter() - start)
                print(f'step {i} {name}: {times[name][-1]:.2f} s', flush=True)
    record = collect()
    print(f'commit {record["commit"]}, torch {record["versions"]["torch"]}, {record["hardware"]}')
    for name, values in times.items():
        print(f'{name}: median {statistics.median(values):.2f} s a step of {args.batch} images')
    if 'theirs' in times:
        ratios = [a / b for a, b in zip(times['ours'], times['theirs'], strict=True)]
        print(
            f'ours / theirs: median {statistics.median(ratios):.3f}, '
            f'from {min(ratios):.3f} to {max(ratios):.3f}'
        )


if __name__ == '__main__':
    main()
