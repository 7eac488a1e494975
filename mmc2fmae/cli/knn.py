"""Evaluate a checkpoint of any house by weighted k-nearest-neighbour classification."""

import argparse
import json
from pathlib import Path

from mmc2fmae.cli import checkpoint_options
from mmc2fmae.cli.parsing import at_least_one, positive, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('checkpoint', help='checkpoint of this project, MAE, timm, ...')
    parser.add_argument('--train', required=True, help='folder of class folders: the neighbours')
    parser.add_argument('--val', required=True, help='folder of class folders: what is classified')
    parser.add_argument('--k', type=at_least_one, default=20, help='neighbours that vote')
    parser.add_argument('--temperature', type=positive, default=0.07)
    parser.add_argument('--tokens', choices=('mean', 'cls'), default='cls')
    parser.add_argument('--block', type=whole_number, help='from 0; the last one')
    parser.add_argument('--out', help='JSON to write (CHECKPOINT.knn.json)')
    checkpoint_options.add_feature_arguments(parser)
    checkpoint_options.add_statement_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate."""
    from mmc2fmae.evaluation.features import FeatureOptions
    from mmc2fmae.evaluation.knn import evaluate_knn
    from mmc2fmae.files import write_atomically

    stated = checkpoint_options.stated(args)
    how = FeatureOptions(
        tokens=(args.tokens,),
        blocks=() if args.block is None else (args.block,),
        size=args.size,
        batch_size=args.batch_size,
        workers=args.workers,
        device=checkpoint_options.device(args),
        half=args.half,
    )
    result = evaluate_knn(
        args.checkpoint,
        args.train,
        args.val,
        options=how,
        k=args.k,
        temperature=args.temperature,
        **stated,
    )
    out = Path(args.out or f'{args.checkpoint.rstrip("/")}.knn.json')
    write_atomically(json.dumps(result, indent=2).encode(), out)
    scores = [f'top-{n} {result[f"top{n}"]:.2f} %' for n in (1, 5) if f'top{n}' in result]
    print(
        f'k-NN {", ".join(scores)} of '
        f'{result["val_images"]:,} images in {result["classes"]} classes (neighbours among '
        f'{result["train_images"]:,}; k {args.k}, temperature {args.temperature:g}, token '
        f'{args.tokens}); {out}'
    )
