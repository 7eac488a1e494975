"""Evaluate a checkpoint of any house by weighted k-nearest-neighbour classification."""

import argparse
import json
from pathlib import Path

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.checkpoints import options
from mmc2fmae.evaluation import features
from mmc2fmae.evaluation.knn import evaluate_knn
from mmc2fmae.files import write_atomically


def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint of this project, MAE, timm, ...')
    parser.add_argument('--train', required=True, help='folder of class folders: the neighbours')
    parser.add_argument('--val', required=True, help='folder of class folders: what is classified')
    parser.add_argument('--k', type=int, default=20, help='neighbours that vote')
    parser.add_argument('--temperature', type=float, default=0.07)
    parser.add_argument('--tokens', choices=('mean', 'cls'), default='cls')
    parser.add_argument('--block', type=int, help='from 0; the last one')
    parser.add_argument('--out', help='JSON to write (CHECKPOINT.knn.json)')
    features.add_feature_arguments(parser)
    options.add_statement_arguments(parser)
    args = parser.parse_args()
    how = features.FeatureOptions(
        tokens=(args.tokens,),
        blocks=() if args.block is None else (args.block,),
        size=args.size,
        batch_size=args.batch_size,
        workers=args.workers,
        device=args.device,
        half=args.half,
    )
    try:
        result = evaluate_knn(
            args.checkpoint, args.train, args.val, how, args.k, args.temperature,
            **options.stated(args),
        )  # fmt: skip
        out = Path(args.out or f'{args.checkpoint.rstrip("/")}.knn.json')
        write_atomically(json.dumps(result, indent=2).encode(), out)
    except (ValueError, OSError) as error:
        parser.exit(1, f'error: {error}\n')
    print(
        f'k-NN top-1 {result["top1"]:.2f} %, top-5 {result["top5"]:.2f} % of '
        f'{result["val_images"]:,} images in {result["classes"]} classes (neighbours among '
        f'{result["train_images"]:,}; k {args.k}, temperature {args.temperature:g}, token '
        f'{args.tokens}); {out}'
    )


if __name__ == '__main__':
    main()
