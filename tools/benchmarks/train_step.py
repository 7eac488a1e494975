"""Time the training step on this CPU, alone or alternating with the public code of a baseline.

The other side is a checkout that is not part of this project. --multimae, EPFL-VILAB/MultiMAE:
three granularities, rgb and two label maps at stride 4. --semanticmim, yyk-wew/SemanticMIM:
MaskFeat with 8 proxies, 80 % masked. Either way the same visible tokens, the same losses on masked
patches, AdamW, fp32; steps alternate A B A B, seconds are of the processor (all threads), the ratio
is taken pair by pair. On a GPU:
`mmc2fmae bench gpu`.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from mmengine.logging import MMLogger

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.benchmark import public
from mmc2fmae.benchmark.batches import pretraining_batch
from mmc2fmae.benchmark.steps import TrainingStep, read_config
from mmc2fmae.benchmark.timing import alternate, ratio
from mmc2fmae.env import collect

CLASSES = dict(instance=134, semantic=133)
CPU = torch.device('cpu')


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
    parser.add_argument('--json', type=Path, help='file for all figures')
    args = parser.parse_args()
    if args.multimae and args.arch != 'base':
        parser.error('--arch: the side of MultiMAE is a ViT-B')
    MMLogger.get_instance('benchmark', log_level='WARNING')
    name = 'semanticmim/semanticmim_maskfeat_vitb_300e' if args.semanticmim else 'c2fmae_vitb_1600e'
    cfg = read_config(f'mmc2fmae::pretrain/{name}.py', args.compile)
    cfg.model.backbone.arch = args.arch
    for granularity, spec in cfg.model.backbone.get('granularities', {}).items():
        spec.num_classes = CLASSES[granularity]
    batch = pretraining_batch(cfg, args.batch)
    ours = TrainingStep(cfg, CPU)
    sides = dict(ours=lambda: ours(batch))
    if args.multimae or args.semanticmim:
        built = (
            public.multimae(args.multimae, CPU, CLASSES, visible=98)
            if args.multimae
            else public.semanticmim(args.semanticmim, CPU, args.arch)
        )
        theirs = public.training_step(*built, CPU)
        sides['theirs'] = lambda: theirs(batch)
    # Of the processor: what others do on a shared machine counts less.
    times = alternate(sides, CPU, warm_up=1, steps=1, rounds=args.steps, clock=time.process_time)
    record = collect()
    print(f'commit {record["commit"]}, torch {record["versions"]["torch"]}, {record["hardware"]}')
    for side, values in times.items():
        print(f'{side}: median {statistics.median(values):.2f} s a step of {args.batch} images')
    result = dict(record=record, arguments=vars(args), seconds=times)
    if 'theirs' in times:
        result['ratio'] = ratio(times['ours'], times['theirs'])
        middle, low, high = result['ratio']
        print(f'ours / theirs: median {middle:.3f}, from {low:.3f} to {high:.3f}')
    if args.json:
        args.json.write_text(json.dumps(result, indent=2, default=str))


if __name__ == '__main__':
    main()
