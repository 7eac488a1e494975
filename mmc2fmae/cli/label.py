"""Make instance and semantic maps for a folder of photographs: a dataset that pre-training reads.

One process:       mmc2fmae label IMAGES OUT
Eight GPUs:        torchrun --nproc_per_node 8 -m mmc2fmae label IMAGES OUT
Look before:       ... --sweep 200 (thresholds), ... --estimate 200 (time and disk)
"""

import argparse
from pathlib import Path

from mmc2fmae.cli.parsing import at_least_one, positive, share, whole_number

# The defaults of mmc2fmae.labeling, which imports torch.
DETECTOR = 'IDEA-Research/grounding-dino-base'
SEGMENTER = 'syscv-community/sam-hq-vit-huge'
SEMANTIC = 'facebook/mask2former-swin-large-coco-panoptic'
AMP = ('bf16', 'fp16', 'off')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('images', type=Path, help='folder of photographs, in class folders or flat')
    parser.add_argument('out', type=Path, help='folder of the dataset (docs/data.md)')
    parser.add_argument('--split', help='name of the photographs in OUT (that of IMAGES)')
    parser.add_argument(
        '--prompts',
        default='imagenet',
        help="what to look for: 'imagenet' (names of the wnids, the default), 'folders', a .txt or "
        ".json file, or the names themselves, 'person; car, automobile' (docs/labeling.md)",
    )
    group = parser.add_argument_group('models: hub ids or local folders')
    group.add_argument('--detector', default=DETECTOR, help=DETECTOR)
    group.add_argument('--segmenter', default=SEGMENTER, help=SEGMENTER)
    group.add_argument(
        '--semantic',
        default=SEMANTIC,
        help=f"{SEMANTIC}, or 'seem:CHECKOUT:CHECKPOINT' (docs/labeling.md)",
    )
    group = parser.add_argument_group('adaptive threshold and merging')
    group.add_argument('--threshold', type=share, default=0.5, help='highest (%(default)s)')
    group.add_argument('--step', type=positive, default=0.05, help='by which (%(default)s)')
    group.add_argument('--floor', type=share, default=0.25, help='lowest (%(default)s)')
    group.add_argument(
        '--min-detections',
        type=whole_number,
        default=1,
        help='the threshold goes down while there are fewer (%(default)s)',
    )
    group.add_argument(
        '--min-area',
        type=share,
        default=0.001,
        help='smallest instance, share of the image (%(default)s)',
    )
    group.add_argument(
        '--min-confidence',
        type=share,
        default=0.0,
        help='pixels of less confident class become unknown, 255 (%(default)s)',
    )
    group = parser.add_argument_group('machine')
    group.add_argument(
        '--batch-size', type=at_least_one, default=8, help='of the models (%(default)s)'
    )
    group.add_argument(
        '--part-size', type=at_least_one, default=128, help='unit of work (%(default)s)'
    )
    group.add_argument('--workers', type=at_least_one, help='reading and writing threads a process')
    group.add_argument('--device', help='cuda where there is one, else cpu')
    group.add_argument('--amp', choices=AMP, help='bf16 on cuda, else off')
    group = parser.add_argument_group('look before')
    group.add_argument(
        '--estimate', type=at_least_one, metavar='N', help='label N, print time and disk'
    )
    group.add_argument(
        '--sweep',
        type=at_least_one,
        metavar='N',
        help='detect on N, print thresholds, write OUT/sweep.png',
    )


def run(args: argparse.Namespace) -> None:
    """Label, or look before."""
    import torch

    from mmc2fmae.cli.labelling import label

    try:
        label(args)
    except torch.OutOfMemoryError as error:
        raise ValueError(f'out of GPU memory, use a smaller --batch-size ({error})') from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt('the same command goes on from here') from None
